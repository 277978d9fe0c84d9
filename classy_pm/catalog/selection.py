"""Whether what a query names is in the catalogue, and as what: a component, a number or a text.

A place that no fit has is a misspelling, and one that is something else in all of them a misunderstanding:
a query that then finds nothing would be no answer.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator

import sqlalchemy as sa

from classy_pm.catalog import tables
from classy_pm.catalog.expressions import Classes, Kind, Place
from classy_pm.catalog.places import written
from classy_pm.catalog.quantities import array_condition
from classy_pm.errors import CatalogError, ClassyError, UnknownNameError, did_you_mean

__all__ = ["check_places", "element_of", "has_variable", "namesakes", "unknown"]

component, parameter = tables.component, tables.parameter
STATISTICS = ("median", "mean", "sd", "best", "most_probable", "ess", "r_hat")
WORDS: dict[Kind, str] = {"component": "a component", "number": "a number", "text": "a text"}
CURES: dict[Kind, str] = {
    "component": "A component is compared with a class; its parameters are below it",
    "number": "Compare it with a number",
    "text": "Compare it with a text",
}
#: Known names among which the nearest is looked for.
MOST_NAMES = 1000


def check_places(connection: sa.Connection, places: Iterable[Place], taken: Container[str]) -> None:
    """Refuse a place that no fit has, or that is something else in all fits that have it.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    places : iterable of Place
    taken : container of str
        Names that a place cannot have as an attribute of an aggregator.
    """
    if not _finds(connection, sa.select(tables.fit.c.id)):
        return
    for place in places:
        if not _is_there(connection, place):
            raise _error(connection, place, taken)


def has_variable(connection: sa.Connection, name: str) -> bool:
    """Whether a fit has a free or derived number of this name, or an array of it with its elements listed."""
    drawn = parameter.c.role.in_(("free", "derived", "shared"))
    return any(
        _finds(connection, sa.select(parameter.c.fit_id).where(where, drawn))
        for where in (parameter.c.path == name, array_condition(name))
    )


def namesakes(known: Classes, classes: Iterable[type]) -> Iterator[tuple[type, list[str]]]:
    """Yield each class that no fit has, where fits have others of its name, with their references."""
    there = {ref for own, bases in known.values() for ref in (own, *bases)}
    for cls in classes:
        if known.refs_of([cls]).isdisjoint(there):
            others = sorted(ref for ref, _ in known.values() if _name_of(ref) == cls.__qualname__)
            if others:
                yield cls, others


def _name_of(ref: str) -> str:
    """Return the class's name in a reference, without module and without the hash of a script's class."""
    return ref.partition(":")[2].partition("#")[0]


def element_of(name: str) -> tuple[str, tuple[int | str, ...]] | None:
    """Return the name of an array, and where the element is that a name is of; None for another name.

    Along a plate it is named by its data set.

    Examples
    --------
    >>> element_of("lens.weights[2]"), element_of("lens.centre")
    (('lens.weights', (2,)), None)
    >>> element_of("line.centre[object_3]")
    ('line.centre', ('object_3',))
    """
    found = re.fullmatch(r"(.+)\[(\w+(?:,\w+)*)\]", name, re.DOTALL)
    if found is None:
        return None
    number = re.compile(r"[0-9]{1,18}")
    labels = found[2].split(",")
    return found[1], tuple(int(label) if number.fullmatch(label) else label for label in labels)


def unknown(connection: sa.Connection, path: str, also: Iterable[str] = ()) -> UnknownNameError:
    """Return the error for a name that no fit has, with the nearest ones that some fit does have."""
    known = [*also]
    for table in (component, parameter):
        known += connection.execute(sa.select(table.c.path).distinct().limit(MOST_NAMES)).scalars()
    message = f"No fit in this catalogue has a component or parameter `{path}`."
    first, _, below = path.partition(".")
    if (element := f"{below}[{first}]") in known:
        return UnknownNameError(message, cure=f"What is called so of one data set is `{element}`.")
    above, _, last = path.rpartition(".")
    if above in known and last:
        known += [f"{above}.{statistic}" for statistic in STATISTICS]
    return UnknownNameError(message, cure=did_you_mean(path, dict.fromkeys(known)))


def _index_or_name(part: str) -> str | tuple[int]:
    return (int(part),) if part.isdecimal() else part


def _finds(connection: sa.Connection, query: sa.Select[tuple[int]]) -> bool:
    return connection.execute(query.limit(1)).first() is not None


def _is_there(connection: sa.Connection, place: Place) -> bool:
    if place.kind == "component":
        return _finds(connection, sa.select(component.c.fit_id).where(place.within(component.c.path)))
    rows = sa.select(parameter.c.fit_id).where(place.within(parameter.c.path))
    # A text has no median: only rows without one are looked at.
    others = rows.where(parameter.c.median.is_(None))
    if place.kind == "text":
        return _finds(connection, others.where(parameter.c.text.is_not(None)))
    return _finds(connection, rows.where(parameter.c.median.is_not(None))) or _finds(
        connection, others.where(parameter.c.text.is_(None))
    )


def _error(connection: sa.Connection, place: Place, taken: Container[str]) -> ClassyError:
    def there(*paths: str) -> Kind | None:
        return next((kind for kind in WORDS if _is_there(connection, Place(paths, kind))), None)

    def name(path: str) -> str:
        return f"aggregator.{written([_index_or_name(part) for part in path.split('.')], taken)}"

    path = place.path
    if place.statistic is not None and there(below := f"{place.paths[0]}.{place.statistic}"):
        return CatalogError(
            f"`{path}.{place.statistic}` is the {place.statistic} of a parameter `{path}`, which no fit in "
            "this catalogue has.",
            cure=f"What is called so in the models is `{name(below)}`.",
        )
    found = there(*place.paths)
    if found is not None:
        return CatalogError(
            f"`{path}` is {WORDS[found]} in this catalogue, and {WORDS[place.kind]} in no fit.",
            cure=f"{CURES[found]}.",
        )
    if _finds(connection, sa.select(parameter.c.fit_id).where(array_condition(place.paths[0]))):
        return CatalogError(
            f"`{path}` is an array.", cure=f"Ask for one of its elements: `{name(place.paths[0])}[0]`."
        )
    if place.by_key and len(place.paths) > 1:
        array, _ = element_of(place.paths[1]) or ("", ())
        if array and _finds(connection, sa.select(parameter.c.fit_id).where(array_condition(array))):
            return unknown(connection, place.paths[1])
    if there(f"model.{place.paths[0]}"):
        return UnknownNameError(
            f"No fit in this catalogue has a component or parameter `{path}`.",
            cure=f"`aggregator.model` is the root of all models; write `{name(f'model.{place.paths[0]}')}`.",
        )
    return unknown(connection, path)
