"""All that a catalogue lists, also fits whose file is missing or damaged, and one fit in full."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import xarray as xr

from classy_pm.catalog import tables
from classy_pm.catalog.catalog import PAGE, Catalog
from classy_pm.catalog.quantities import check_text
from classy_pm.catalog.records import FitRecord, from_json, is_hex
from classy_pm.catalog.stored import StoredFit
from classy_pm.errors import CatalogError, ClassyError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FullFit", "Labels", "labels_of", "list_fits", "read_fit", "row_of"]

#: What a report or a listing tells of every fit: the columns of the table `fit`.
COLUMNS = tuple(item.name for item in fields(StoredFit) if item.name not in ("id", "catalog"))


def list_fits(catalog: Catalog, *, name: str | None = None, tag: str | None = None) -> Iterator[StoredFit]:
    """Give the fits of every status, those that were filed last first.

    Parameters
    ----------
    catalog : Catalog
    name : str, optional
        Only fits whose search has this name.
    tag : str, optional
        Only fits that have this unique_tag, or this among their tags.
    """
    if not catalog.is_there():
        return
    table, last = tables.fit, None
    query = sa.select(table).order_by(table.c.id.desc()).limit(PAGE)
    if name is not None:
        query = query.where(table.c.name == check_text(name, "name"))
    if tag is not None:
        tag = check_text(tag, "tag")
        tagged = sa.select(tables.tag.c.fit_id).where(tables.tag.c.tag == tag)
        query = query.where((table.c.unique_tag == tag) | table.c.id.in_(tagged))
    while True:
        with catalog.database.reading() as connection:
            page = query if last is None else query.where(table.c.id < last)
            rows = connection.execute(page).mappings().all()
        for row in rows:
            yield StoredFit.from_row(dict(row), catalog)
        if len(rows) < PAGE:
            return
        last = rows[-1]["id"]


def row_of(stored: StoredFit) -> dict[str, Any]:
    """Return what the index has of a fit, as plain data."""
    return {name: getattr(stored, name) for name in COLUMNS}


@dataclass
class Labels:
    """What a fit can be found by besides its columns: tags, notes, and the classes in its model."""

    tags: list[str] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    classes: list[tuple[str, str]] = field(default_factory=list)


def labels_of(catalog: Catalog, fits: Sequence[StoredFit]) -> list[Labels]:
    """Return the labels of some fits, read from the index together."""
    found: defaultdict[int, Labels] = defaultdict(Labels)
    tag, info, component, class_ = tables.tag, tables.info, tables.component, tables.class_
    for begin in range(0, len(fits), PAGE):
        numbers = [stored.id for stored in fits[begin : begin + PAGE]]
        classes = sa.select(component.c.fit_id, component.c.path, class_.c.ref)
        classes = classes.join_from(component, class_, class_.c.id == component.c.class_id)
        with catalog.database.reading() as connection:
            query = sa.select(tag.c.fit_id, tag.c.tag).where(tag.c.fit_id.in_(numbers)).order_by(tag.c.tag)
            for number, text in connection.execute(query):
                found[number].tags.append(text)
            notes = sa.select(info.c.fit_id, info.c.key, info.c.json).where(info.c.fit_id.in_(numbers))
            for number, key, text in connection.execute(notes):
                found[number].info[key] = _note(text)
            for number, place, ref in connection.execute(classes.where(component.c.fit_id.in_(numbers))):
                found[number].classes.append((place, ref))
    return [found[stored.id] for stored in fits]


def _note(text: str) -> Any:
    try:
        return from_json(text)
    except CatalogError:
        return text


@dataclass
class FullFit:
    """A fit with what is in its file, as far as that can be read.

    Attributes
    ----------
    stored : StoredFit
    labels : Labels
    record : FitRecord or None
    tree : xarray.DataTree or None
    notices : list of str
        What the search found worth saying of the fit.
    attributes : dict
        What the result knows of itself: seed, seconds, ...
    files : list of Path
        What the fit has left beside its file: pictures and the like.
    fault : str
        Why the file cannot be read; empty if it can.
    """

    stored: StoredFit
    labels: Labels
    record: FitRecord | None = None
    tree: xr.DataTree | None = None
    notices: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    fault: str = ""


def read_fit(stored: StoredFit, labels: Labels | None = None) -> FullFit:
    """Return a fit with what is in its file; a file that cannot be read is told, and no error."""
    full = FullFit(stored, labels if labels is not None else labels_of(stored.catalog, [stored])[0])
    if not (is_hex(stored.fit_key, 64) and is_hex(stored.run_id, 32)):
        full.fault = "The index gives this fit a key that is none."
        return full
    folder = stored.catalog.layout.output(stored.fit_key)
    full.files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if stored.status != "complete":
        full.fault = f"The file of this fit is {stored.status}. Run the fit again, or bring the file back."
        return full
    try:
        full.record, full.tree = stored.record, stored.tree()
    except ClassyError as error:
        full.fault = error.message
        return full
    from classy_pm.result.tree import attributes_of

    try:
        full.attributes = dict(attributes_of(full.tree))
        full.notices = [str(text) for text in full.attributes.get("notices", [])]
    except (AttributeError, TypeError, ValueError, RecursionError):
        full.fault = "What this fit says of itself cannot be read."
    return full
