"""Which pages of a report are made, and where they lie."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import batched
from pathlib import Path

from classy_pm.catalog.catalog import PAGE, Catalog
from classy_pm.catalog.display import finite
from classy_pm.catalog.listing import Labels, labels_of, list_fits, read_fit, row_of
from classy_pm.catalog.records import is_hex
from classy_pm.catalog.report import fit_page, index_page
from classy_pm.catalog.report.html import head_of
from classy_pm.catalog.report.pictures import Picture, pictures_of
from classy_pm.catalog.stored import StoredFit
from classy_pm.errors import CatalogError

#: Raised when pages are made differently, so that older ones are made again.
FORMAT = 1


@dataclass
class Site:
    """What `write_report` has written.

    Attributes
    ----------
    index : Path
        The page to open.
    fits : int
        How many fits it lists.
    made, kept : int
        How many pages of fits were made, and how many were there already.
    faults : dict of str to str
        Why a fit's file could not be read, by the fit's identity.
    """

    index: Path
    fits: int = 0
    made: int = 0
    kept: int = 0
    faults: dict[str, str] = field(default_factory=dict)


def write_report(
    catalog: Catalog,
    folder: str | os.PathLike[str],
    *,
    plots: bool = True,
    on_progress: Callable[[int, int], object] | None = None,
) -> Site:
    """Write pages about all fits into a folder; `index.html` is the first.

    Pages that are there already of fits that have not changed are kept. A fit whose file cannot be
    read has a page that says so.

    Parameters
    ----------
    catalog : Catalog
        May be opened with `read_only=True`.
    folder : str or path
        Made if it is not there.
    plots : bool, optional
        Whether to draw the posterior and the draws of each fit, which takes a second or so.
    on_progress : callable, optional
        Called after each fit with how many are done, and of how many.
    """
    folder = Path(folder)
    site = Site(folder / "index.html")
    _check_index(site.index)
    _make_folder(folder / "fits")
    of = sum(1 for _ in list_fits(catalog))
    rows = []
    for stored, labels in _with_labels(catalog):
        site.fits += 1
        fault = _write_page(site, folder, stored, labels, plots) if is_hex(stored.fit_key, 64) else ""
        rows.append(index_page.Row(stored, labels, fault))
        if on_progress is not None:
            on_progress(site.fits, of)
    _write(site.index, index_page.page(catalog.location, rows))
    return site


def _with_labels(catalog: Catalog) -> Iterator[tuple[StoredFit, Labels]]:
    for page in batched(list_fits(catalog), PAGE):
        yield from zip(page, labels_of(catalog, page), strict=True)


def _write_page(site: Site, folder: Path, stored: StoredFit, labels: Labels, plots: bool) -> str:
    """Write the page of a fit, unless it is there; return why the fit cannot be read, or nothing."""
    path = folder / "fits" / f"{stored.fit_key}.html"
    # A page with plots is as good as one without.
    stamps = [_stamp(stored, labels, with_plots) for with_plots in ((True,) if plots else (False, True))]
    if any(_has_stamp(path, stamp) for stamp in stamps):
        site.kept += 1
        return ""
    full = read_fit(stored, labels)
    # A report is handed on: it tells nothing of the folders here.
    full = replace(full, fault=full.fault.replace(str(stored.path), stored.path.name))
    pictures: list[Picture] = []
    problem = ""
    if plots and full.tree is not None:
        pictures, problem = pictures_of(full)
    # What could not be read may be brought back: such a page is made again each time.
    _write(path, fit_page.page(full, pictures, problem, "" if full.fault else stamps[0]))
    site.made += 1
    if full.fault:
        site.faults[stored.fit_key] = full.fault
    return full.fault


def _stamp(stored: StoredFit, labels: Labels, plots: bool) -> str:
    """Return what changes when a page would."""
    content = [FORMAT, plots, row_of(stored), labels.tags, labels.info]
    return hashlib.sha256(json.dumps(finite(content), sort_keys=True).encode()).hexdigest()


def _has_stamp(path: Path, stamp: str) -> bool:
    start = head_of(stamp).encode()
    try:
        with path.open("rb") as stream:
            return stream.read(len(start)) == start
    except OSError:
        return False


def _check_index(path: Path) -> None:
    """Refuse to write over a page that is no report."""
    try:
        with path.open("rb") as stream:
            ours = stream.read(len(head_of(""))) == head_of("").encode()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(path, error) from error
    if not ours:
        raise CatalogError(
            f"{str(path)!r} is there already, and is no report of a catalogue.", cure="Give another folder."
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _write(path: Path, text: str) -> None:
    """Write a page whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> CatalogError:
    return CatalogError(
        f"The report cannot be written at {str(path)!r}: {error.strerror or error}.",
        cure="Give a folder that you may write to.",
    )
