"""Run by `test_hostile`: opens crafted catalogues in every way there is, and tells what Python did meanwhile.

Arguments: a folder with one folder for each crafted catalogue, and one to work in. Prints JSON.
"""

import contextlib
import encodings.ascii
import encodings.cp437  # noqa: F401 (what zipfile takes old names for)
import json
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

import builders

from classy_pm.catalog import Aggregator, Catalog
from classy_pm.errors import ClassyError

FORBIDDEN = {
    *("exec", "compile", "marshal.loads", "pickle.find_class", "ctypes.dlopen", "sqlite3.load_extension"),
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "ftplib.connect"),
    *("import", "os.putenv", "os.chown", "os.chmod", "webbrowser.open", "shutil.unpack_archive"),
}
WITH_PATHS = {
    *("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("sqlite3.connect", "os.listdir", "shutil.copyfile", "shutil.move", "shutil.rmtree"),
}


def ways(folder, work):
    """Give everything that can be done with a catalogue of somebody else, and with one's own copy."""
    location = folder / "theirs.sqlite"
    yield from ways_with(Catalog(location, read_only=True))
    yield from ways_with(Catalog(location, create=False))
    mine = Catalog(work / f"{folder.name}.sqlite")
    yield lambda: mine.import_folder(folder)
    yield lambda: mine.import_zip(folder / "theirs.zip")
    yield lambda: list(Aggregator(mine).values("idata"))
    yield lambda: list(Aggregator(mine).values("instance"))


def ways_with(catalog):
    agg = Aggregator(catalog)
    keys = [builders.make_key(number) for number in range(3)]
    yield lambda: len(catalog)
    for name in ("record", "info", "idata", "model", "samples", "instance", "profile.centre"):
        yield lambda name=name: list(agg.values(name))
    yield lambda: [(fit.tags, repr(fit), str(fit.path)) for fit in agg]
    yield lambda: agg.summary("median", "sd").to_string()
    yield lambda: len(agg.query(agg.profile.centre > 0.0, agg.info["survey"] != "x"))
    yield catalog.failures
    for key in keys:
        yield lambda key=key: catalog.find(key)
        yield lambda key=key: catalog.tag(key, "mine")
    yield catalog.recover
    yield catalog.verify
    yield catalog.rebuild
    yield lambda: len(catalog)
    yield lambda: list(agg.values("idata"))
    yield catalog.close


def main():
    root, work = Path(sys.argv[1]), Path(sys.argv[2])
    seen, allowed = (
        [],
        ["/proc/self/", "/proc/sys/kernel/random/boot_id", f"{tempfile.gettempdir()}/classy_pm-"],
    )

    def is_allowed(path):
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else repr(path)
        text = unquote(text.removeprefix("file:").partition("?")[0])
        if text in (":memory:", ""):
            return True
        text = os.path.abspath(text)  # noqa: PTH100 (links stay links)
        return any(text.startswith(place) or text == place.rstrip("/") for place in allowed)

    def audit(event, arguments):
        if event in WITH_PATHS:
            given = arguments[:1] if event in ("open", "sqlite3.connect", "os.listdir") else arguments[:2]
            paths = [item for item in given if isinstance(item, str | bytes | os.PathLike)]
            if not all(map(is_allowed, paths)):
                seen.append(f"{event} {arguments!r}")
        elif event in FORBIDDEN and not (event == "import" and arguments[0] in sys.modules):
            frames = []
            frame = sys._getframe(1)
            while frame is not None and len(frames) < 4:
                frames.append(frame.f_code.co_filename)
                frame = frame.f_back
            # SQLAlchemy, dataclasses and pandas make functions of their own texts.
            if event not in ("exec", "compile") or not any("site-packages" in name for name in frames):
                seen.append(f"{event} {arguments!r:.200}")

    def go(folder):
        told = []
        for use in ways(folder, work):
            try:
                use()
                told.append("")
            except ClassyError as error:
                told.append(f"{type(error).__name__}: {error.message}")
            except Exception as error:
                told.append(f"FOREIGN {type(error).__name__}: {error}")
        return told

    found = {}
    go(root / "warm")  # what is imported late is imported now
    with contextlib.suppress(FileExistsError):
        work.mkdir()
    folders = sorted(root.iterdir())
    sys.addaudithook(audit)
    for folder in folders:
        allowed[3:] = [f"{folder}/", f"{work}/"]
        told = go(folder)
        found[folder.name] = {"seen": list(seen), "told": told}
        seen.clear()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
