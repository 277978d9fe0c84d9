"""Files of strangers, read by a process that may do nothing else, of which plain arrays come back.

A crafted file may aim at a fault in the libraries that read it. So a child of this process reads it, with
little memory and time, and no files to write; what it says is checked like the file itself: JSON of limited
size, and arrays of numbers and texts. `Catalog(..., untrusted=True)` reads so.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import xarray as xr

from classy_pm.catalog.faults import CatalogVersionError, DamagedFile, UntrustedFile
from classy_pm.catalog.records import LARGEST_MANIFEST, MOST_MANIFEST, FitRecord, from_json, to_json
from classy_pm.errors import CatalogError, ClassyError, UnknownNameError

__all__ = ["read_record", "read_tree", "read_variable"]

#: Bytes of memory that a file may take beside what Python itself does, and seconds.
MEMORY = 4 * 1024**3
PATIENCE = 120
#: Descriptors that a reader needs at most.
MOST_OPEN = 64
#: What may come back: booleans, numbers, texts and times, but no objects.
DTYPE = re.compile(r"[<>|=](b1|[iu][1248]|f[48]|[SU][0-9]{1,9}|[mM]8\[[a-z]{1,2}\])", re.ASCII)
ERRORS = {
    kind.__name__: kind
    for kind in (DamagedFile, UntrustedFile, CatalogVersionError, CatalogError, UnknownNameError)
}


def read_tree(path: Path, sha256: str) -> xr.DataTree:
    """Return a filed tree; see `files.read_tree`."""
    content, arrays = _ask(path, sha256, "tree")
    try:
        nodes = {}
        for node in content["nodes"]:
            variables = {
                name: (dims, arrays[place], _attributes(attributes))
                for name, dims, place, attributes, _ in node["variables"]
            }
            coordinates = [item[0] for item in node["variables"] if item[4]]
            dataset = xr.Dataset(variables, attrs=_attributes(node["attributes"]))
            nodes[node["path"]] = dataset.set_coords(coordinates)
        return xr.DataTree.from_dict(nodes)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _no_answer(path, "what was read is no tree") from error


def read_record(path: Path, sha256: str) -> FitRecord:
    """Return the record from the manifest of a file; see `files.read_record`."""
    _, arrays = _ask(path, sha256, "record")
    if len(arrays) != 1:
        raise _no_answer(path, "what was read is no manifest")
    return FitRecord.from_manifest(arrays[0].tobytes().decode("ascii", "replace"), longest=MOST_MANIFEST)


def read_variable(path: Path, name: str, sha256: str) -> np.ndarray[Any, Any]:
    """Return the draws of one variable of the posterior; see `files.read_variable`."""
    _, arrays = _ask(path, sha256, "variable", name)
    if len(arrays) != 1:
        raise _no_answer(path, "what was read is no variable")
    return arrays[0]


def _ask(path: Path, *words: str) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]]:
    """Have a child read a file; return its answer and the arrays that follow it."""
    command = [sys.executable, "-P", "-m", __name__, str(path.absolute()), *words]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout is not None
    timer = threading.Timer(PATIENCE, child.kill)
    timer.start()
    try:
        with child.stdout:
            return _receive(path, child.stdout)
    except EOFError:
        child.wait()
        how = f"took longer than {PATIENCE} s" if not timer.is_alive() else "ended without an answer"
        raise _no_answer(path, f"the process that read it {how}") from None
    finally:
        timer.cancel()
        child.kill()
        child.wait()


def _receive(path: Path, stream: IO[bytes]) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]]:
    head = stream.readline(4 * LARGEST_MANIFEST)
    if not head.endswith(b"\n"):
        raise EOFError
    parts = [from_json(line.decode("ascii", "replace")) for line in head.split(b"\t")]
    if len(parts) != 2 or not isinstance(parts[0], dict) or not isinstance(parts[1], list):
        raise _no_answer(path, "its reader's answer is none")
    content, shapes = parts
    if "error" in content:
        raise ERRORS.get(str(content["error"]), DamagedFile)(
            str(content.get("message")), cure=str(content.get("cure") or "") or None
        )
    left, arrays = MEMORY, []
    for item in shapes:
        dtype, shape = item if isinstance(item, list) and len(item) == 2 else (item, None)
        if not isinstance(dtype, str) or DTYPE.fullmatch(dtype) is None:
            raise _no_answer(path, f"{dtype!r} is no type of numbers or texts")
        if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
            raise _no_answer(path, f"{shape!r} is no shape")
        kind = np.dtype(dtype)
        size = kind.itemsize
        for length in shape:
            size *= length
        left -= size
        if left < 0:
            raise _no_answer(path, f"it has more than {MEMORY} bytes")
        content_of_array = stream.read(size)
        if len(content_of_array) != size:
            raise EOFError
        # A copy, because what is made of bytes cannot be written to.
        arrays.append(np.ndarray(shape, kind, bytearray(content_of_array) or b"\0"))
    return content, arrays


def _attributes(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes in which lists that were arrays are arrays again."""
    plain = {}
    for name, (value, dtype) in content.items():
        array = isinstance(dtype, str) and DTYPE.fullmatch(dtype) is not None
        plain[name] = np.asarray(value, dtype) if array else value
    return plain


def _no_answer(path: Path, reason: str) -> DamagedFile:
    return DamagedFile(f"{str(path)!r} cannot be read: {reason}.")


# -- what the child does ------------------------------------------------------------------------


def main() -> None:
    """Read what the arguments say, and write the answer to standard output."""
    path, sha256, what, *names = sys.argv[1:]
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    arrays: list[np.ndarray[Any, Any]] = []
    try:
        with _confined():
            content = _read(Path(path), sha256, what, names, arrays)
    except ClassyError as error:
        content, arrays = {"error": type(error).__name__, "message": error.message, "cure": error.cure}, []
    shapes = [[array.dtype.str, list(array.shape)] for array in arrays]
    answer.write(f"{to_json(content)}\t{to_json(shapes)}\n".encode("ascii"))
    for array in arrays:
        answer.write(np.ascontiguousarray(array).tobytes())
    answer.flush()


@contextlib.contextmanager
def _confined() -> Iterator[None]:
    """Give up what reading does not take: memory, time, writing files, and other processes."""
    import resource

    # All that is needed is loaded before.
    import h5py  # noqa: F401
    import netCDF4  # noqa: F401

    from classy_pm.catalog import files  # noqa: F401

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    limits = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + MEMORY,
        resource.RLIMIT_CPU: PATIENCE,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: MOST_OPEN,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):  # some systems know no limit of memory
            resource.setrlimit(limit, (value, value))
    try:
        yield
    except MemoryError as error:
        raise DamagedFile("The file takes more memory than a stranger's file may.") from error


def _read(
    path: Path, sha256: str, what: str, names: list[str], arrays: list[np.ndarray[Any, Any]]
) -> dict[str, Any]:
    from classy_pm.catalog import files

    if what == "record":
        manifest = files.read_record(path, sha256).to_manifest()
        arrays.append(np.frombuffer(manifest.encode("ascii"), np.uint8))
        return {}
    if what == "variable":
        arrays.append(files.read_variable(path, names[0], sha256))
        return {}
    nodes = []
    for node in files.read_tree(path, sha256).subtree:
        dataset = node.to_dataset(inherit=False)
        variables = []
        for name, variable in dataset.variables.items():
            variables.append(
                [name, list(variable.dims), len(arrays), _sent(variable.attrs), name in dataset.coords]
            )
            arrays.append(variable.values)
        nodes.append({"path": node.path, "attributes": _sent(dataset.attrs), "variables": variables})
    return {"nodes": nodes}


def _sent(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(name): [value.tolist(), value.dtype.str] if isinstance(value, np.ndarray) else [value, None]
        for name, value in attributes.items()
    }


if __name__ == "__main__":
    main()
