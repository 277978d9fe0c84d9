"""What a record may hold, so that the index can keep all of it: types, whole numbers, ranges, and texts.

What becomes a column is checked by the column's declaration in `tables`, on every engine alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from classy_pm.catalog import tables

if TYPE_CHECKING:
    from classy_pm.catalog.records import FitRecord

ROLES = ("free", "fixed", "derived")
KINDS = ("fit", "grid", "sensitivity", "sbc", "dataset")
#: The columns of a posterior's summary.
SUMMARY = ("mean", "median", "sd", "lo1", "hi1", "lo3", "hi3", "ml", "map", "ess", "rhat")
#: The columns of a fit that its record has under the same name; `sampler` has another.
COLUMNS = {
    name: column
    for name, column in tables.fit.columns.items()
    if name not in ("id", "status", "sampler", "n_free", "sha256", "nbytes", "fmt")
} | {"search": tables.fit.c.sampler}
#: Those of them that are whole numbers.
WHOLE = tuple(name for name, column in COLUMNS.items() if column.type is tables.Whole)
#: Doubles hold every integer up to this one; notes of more bits than these are refused.
LARGEST_EXACT = 2**53
LONGEST_INTEGER = 1000
#: Bits of the largest integer anywhere: Python reads no more than 4,300 digits.
MOST_BITS = 14_000
#: Characters of a text that is found or shown as a whole.
LONGEST_TEXT = 100_000
#: Characters of a prior in words, which nobody looks for: one of arrays is long.
LONGEST_PRIOR = 1_000_000
#: What a name in a model may be: `classy_pm.model` lets no others come about.
LONGEST_NAME = 200
TAKEN = ("", "chain", "draw", "sample")
NO_PATH = "is no path of names in a model"


def faults_of(record: FitRecord) -> list[str]:
    """Return why the catalogue could not keep a record, a line a fault, but for its notes."""
    faults: list[str] = []
    for name, digits in [("fit_key", 64), ("run_id", 32)]:
        if not is_hex(getattr(record, name), digits):
            faults.append(f"{name}: {shown(getattr(record, name))} is not {digits} hexadecimal digits")
    for name in ("model_hash", "data_hash", "likelihood_hash", "search_hash", "graph_hash", "parent_key"):
        if getattr(record, name) is not None and not is_hex(getattr(record, name), 64):
            faults.append(f"{name}: {shown(getattr(record, name))} is not 64 hexadecimal digits")
    known = {fault.partition(":")[0] for fault in faults}
    for name, column in COLUMNS.items():
        if name not in known:
            faults += column_faults(name, getattr(record, name), column)
    for name in ("settings", "payload", "model", "info", "versions", "extra"):
        if not isinstance(getattr(record, name), Mapping):
            faults.append(f"{name}: is {kind_of(getattr(record, name))}, not a dict")
    for tag in record.tags:
        faults += column_faults("tags", tag, tables.tag.c.tag)
    if record.kind not in KINDS:
        faults.append(f"kind: {shown(record.kind)} is none of {', '.join(KINDS)}")
    return faults + _component_faults(record) + _parameter_faults(record)


def column_faults(name: str, value: object, column: sa.Column[Any]) -> list[str]:
    """Return why a column could not hold a value, or would hold another one."""
    if value is None:
        return [] if column.nullable else [f"{name}: is None"]
    if column.type is not tables.Number and column.type is not tables.Whole:
        return text_faults(name, value)
    if column.type is tables.Whole and (not isinstance(value, int) or isinstance(value, bool)):
        return [f"{name}: {shown(value)} is not a whole number"]
    if not isinstance(value, int | float) or isinstance(value, bool):
        return [f"{name}: {shown(value)} is not a Python number"]
    if isinstance(value, int) and abs(value) >= 2**63:
        return [f"{name}: is an integer of {value.bit_length()} bits, which is too large"]
    if exact_digits(value) is not None:
        return [f"{name}: {value} is an integer that no double holds"]
    return []


def text_faults(name: str, text: object, longest: int = LONGEST_TEXT) -> list[str]:
    """Return why a text cannot be kept, a line a reason, each beginning with its name."""
    if not isinstance(text, str):
        return [f"{name}: {shown(text)} is not a str"]
    if "\0" in text:
        return [f"{name}: {shown(text)} contains a NUL character"]
    if len(text) > longest:
        return [f"{name}: is {len(text)} characters long"]
    try:
        text.encode()
    except UnicodeEncodeError:
        return [f"{name}: {shown(text)} contains half a character (a lone surrogate)"]
    return []


def is_of_text(fault: str) -> bool:
    """Whether a fault is about what stands in a text."""
    return "NUL character" in fault or "lone surrogate" in fault


def is_hex(text: object, digits: int) -> bool:
    """Whether a text is so many lowercase hexadecimal digits and nothing else."""
    return isinstance(text, str) and re.fullmatch(rf"[0-9a-f]{{{digits}}}", text, re.ASCII) is not None


def composed(text: Any) -> Any:
    """Return a text in the one spelling in which it is kept: an accent is a part of its letter (NFC)."""
    return unicodedata.normalize("NFC", str.__str__(text)) if isinstance(text, str) else text


def exact_digits(value: object) -> str | None:
    """Return the digits of an integer that no double holds; None for all else.

    Examples
    --------
    >>> exact_digits(2**53), exact_digits(2**53 + 1)
    (None, '9007199254740993')
    """
    if type(value) is not int or abs(value) <= LARGEST_EXACT:
        return None
    fits = value.bit_length() <= LONGEST_INTEGER and int(float(value)) == value
    return None if fits else str(value)


def kind_of(value: object) -> str:
    """Return the type of a value with its article: "an int", "a list"."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeioAEIO' or name == 'ndarray' else 'a'} {name}"


def shown(value: object) -> str:
    """Return a value as an error may show it: integers without end have no digits in Python."""
    try:
        text = repr(value)
    except Exception:
        return kind_of(value)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def _component_faults(record: FitRecord) -> list[str]:
    """Return what is wrong with the classes of a record."""
    faults = _path_faults("components", [component.path for component in record.components])
    for component in record.components:
        if component.path and not is_path(component.path):
            faults.append(f"components: {shown(component.path)} {NO_PATH}")
        for text in (component.class_ref, component.version, *component.base_refs):
            faults += text_faults(f"components.{shown(component.path)}", text)
    return faults


def _parameter_faults(record: FitRecord) -> list[str]:
    """Return what is wrong with the parameters of a record, and with their further paths."""
    paths = [parameter.path for parameter in record.parameters]
    faults = _path_faults("parameters", paths) + _alias_faults(record.aliases, paths)
    for parameter in record.parameters:
        # Derived quantities are called what the user likes.
        if parameter.path in TAKEN or not (parameter.role == "derived" or is_path(parameter.path)):
            faults.append(f"parameters: {shown(parameter.path)} {NO_PATH}")
        place = f"parameters.{parameter.path if isinstance(parameter.path, str) else '?'}"
        if parameter.role not in ROLES:
            faults.append(f"{place}: role {shown(parameter.role)} is none of {', '.join(ROLES)}")
        for name in SUMMARY:
            faults += column_faults(
                f"{place}.{name}", getattr(parameter, name), tables.parameter.columns[name]
            )
        if parameter.prior is not None:
            faults += text_faults(f"{place}.prior", parameter.prior, LONGEST_PRIOR)
        if not isinstance(parameter.value, bool | int | float | str | None):
            faults.append(f"{place}.value: is {kind_of(parameter.value)}")
        elif isinstance(parameter.value, int) and parameter.value.bit_length() > MOST_BITS:
            bits = parameter.value.bit_length()
            faults.append(f"{place}.value: is an integer of {bits} bits, which is too large")
    return faults


def _path_faults(name: str, paths: Iterable[object]) -> list[str]:
    """Return which paths are no texts, and which are there twice."""
    faults: list[str] = []
    seen = set()
    for path in paths:
        wrong = text_faults(f"{name} path", path)
        if not wrong and path in seen:
            wrong = [f"{name}: {shown(path)} is there twice"]
        if not wrong:
            seen.add(path)
        faults += wrong
    return faults


def _alias_faults(aliases: object, paths: Iterable[object]) -> list[str]:
    """Return what is wrong with the further paths of shared parameters."""
    if not isinstance(aliases, Mapping):
        return [f"aliases: is {kind_of(aliases)}, not a dict"]
    faults, known = _path_faults("aliases", aliases), {path for path in paths if isinstance(path, str)}
    faults += [
        f"aliases: {shown(path)} {NO_PATH}" for path in aliases if path in TAKEN or not is_further_path(path)
    ]
    faults += [f"aliases: {shown(path)} is a parameter itself" for path in aliases if path in known]
    return faults + [
        f"aliases: {shown(first)} is no parameter"
        for first in aliases.values()
        if not isinstance(first, str) or first not in known
    ]


def is_further_path(path: object) -> bool:
    """Whether a text is a path, or one of an element named by its data set: ``line.centre[object_3]``."""
    return is_path(re.sub(r"\[[\w,]{1,300}\]$", "", path) if isinstance(path, str) else path)


def is_path(path: object) -> bool:
    """Whether a text is names joined by dots, the last one perhaps with the place in an array."""
    names = (
        re.sub(r"\[[0-9,]{1,100}\]$", "", path, flags=re.ASCII).split(".") if isinstance(path, str) else [""]
    )
    return all((name.isidentifier() or name.isdecimal()) and len(name) <= LONGEST_NAME for name in names)
