"""What the catalogue keeps of a fit beside its draws: plain data, and its JSON manifest.

The manifest is written into the root of each NetCDF file, and everything in the database can be
derived from it. Adding something to keep: a field here with a default, and a column in `tables`.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from classy_pm.catalog import former
from classy_pm.catalog.validation import (
    LARGEST_EXACT,
    LONGEST_INTEGER,
    MOST_BITS,
    SUMMARY,
    WHOLE,
    composed,
    exact_digits,
    faults_of,
    is_hex,
    is_of_text,
    kind_of,
    shown,
    text_faults,
)
from classy_pm.errors import CatalogError

__all__ = [
    "LARGEST_EXACT",
    "LARGEST_MANIFEST",
    "LONGEST_INFO",
    "MOST_MANIFEST",
    "SUMMARY",
    "ComponentRecord",
    "FitRecord",
    "ParameterRecord",
    "check_info",
    "check_manifest_size",
    "composed",
    "exact_digits",
    "from_json",
    "is_hex",
    "largest_manifest",
    "now",
    "text_faults",
    "to_json",
]

#: Version of the manifest. Readers of all past versions are kept; see `FitRecord.from_manifest`.
FORMAT = 1
#: A larger or deeper manifest is refused before it is parsed. The one of a graph of many data sets may have
#: more characters, by so many for each number of the posterior, up to the most that any may have.
LARGEST_MANIFEST = 4 * 1024 * 1024
MANIFEST_PER_NUMBER = 8 * 1024
MOST_MANIFEST = 128 * 1024 * 1024
DEEPEST_MANIFEST = 64
PLAIN = "Give str, numbers, bool, None, and lists or dicts of them."
READABLE = "Write texts without NUL and half characters: `text.encode('utf-8', 'replace').decode()`."
#: Notes deeper or longer than this are refused, so that the manifest around them can be read again.
DEEPEST_INFO = DEEPEST_MANIFEST // 2
LONGEST_INFO = LARGEST_MANIFEST // 2


class ComponentRecord(NamedTuple):
    """A class in a model: where it sits, its reference and those of its bases, nearest first."""

    path: str
    class_ref: str
    base_refs: tuple[str, ...] = ()
    version: str = "1"


@dataclass(frozen=True, slots=True)
class ParameterRecord:
    """A parameter and the summary of its posterior; for a fixed one, `value`.

    Parameters
    ----------
    path : str
        Its dotted name, as in the posterior group.
    role : {"free", "fixed", "derived"}
        Whether it was sampled, held constant, or computed from others.
    prior : str, optional
        The prior in words.
    value : bool, int, float or str, optional
        What a fixed parameter was fixed to.
    mean, median, sd : float, optional
        Moments of the posterior.
    lo1, hi1, lo3, hi3 : float, optional
        Ends of the intervals that hold 68.27% and 99.73% of the probability.
    ml, map : float, optional
        Value at the highest likelihood, and at the highest posterior density.
    ess, rhat : float, optional
        Effective number of draws, and the split R-hat.
    """

    path: str
    role: str = "free"
    prior: str | None = None
    value: bool | int | float | str | None = None
    mean: float | None = None
    median: float | None = None
    sd: float | None = None
    lo1: float | None = None
    hi1: float | None = None
    lo3: float | None = None
    hi3: float | None = None
    ml: float | None = None
    map: float | None = None
    ess: float | None = None
    rhat: float | None = None


@dataclass(frozen=True, slots=True)
class FitRecord:
    """Everything that the catalogue's index needs to know of one fit; plain data only.

    Parameters
    ----------
    fit_key : str
        The identity, 64 hexadecimal digits, from `fit_key`.
    run_id : str
        Which run of that identity this is: `uuid.uuid4().hex`.
    name, unique_tag : str
        What the user called the search.
    search : str
        Name of the sampler.
    settings : dict
        Its settings, JSON-able.
    payload : dict
        What went into the identity, as `describe` gives it.
    model : dict
        The model as JSON-able data.
    components : tuple of ComponentRecord
        The classes in the model; plain tuples of (path, class reference, base references) will do.
    parameters : tuple of ParameterRecord
        All parameters, in the order of the model.
    aliases : dict of str to str
        Further paths of shared parameters, each with the path among `parameters`.
    info : dict
        The user's notes: str, numbers, bool or None by key; anything else JSON-able is kept too.
    created : str
        When the fit was finished, in ISO format, UTC.
    """

    fit_key: str
    run_id: str
    name: str = ""
    unique_tag: str = ""
    search: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)
    model: Mapping[str, Any] = field(default_factory=dict, repr=False)
    components: tuple[ComponentRecord, ...] = field(default=(), repr=False)
    parameters: tuple[ParameterRecord, ...] = field(default=(), repr=False)
    aliases: Mapping[str, str] = field(default_factory=dict, repr=False)
    info: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    created: str = field(default_factory=lambda: now())
    seconds: float | None = None
    log_evidence: float | None = None
    log_evidence_error: float | None = None
    max_log_likelihood: float | None = None
    loo: float | None = None
    divergences: int | None = None
    max_rhat: float | None = None
    min_ess: float | None = None
    n_nonfinite: int = 0
    model_hash: str | None = None
    data_hash: str | None = None
    likelihood_hash: str | None = None
    search_hash: str | None = None
    graph_hash: str | None = None
    kind: str = "fit"
    parent_key: str | None = None
    grid_index: int | None = None
    versions: Mapping[str, Any] = field(default_factory=dict, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        def fix(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        try:
            fix("components", tuple(ComponentRecord(*item) for item in self.components))
            fix("components", tuple(c._replace(base_refs=tuple(c.base_refs)) for c in self.components))
            fix("parameters", tuple(self.parameters))
            fix("tags", tuple(composed(tag) for tag in self.tags))
        except (TypeError, ValueError) as error:
            raise CatalogError("This record of a fit cannot be filed.", [str(error)]) from error
        for name in ("name", "unique_tag"):
            fix(name, composed(getattr(self, name)))
        for name in WHOLE:
            number = getattr(self, name)
            if isinstance(number, float) and number.is_integer():
                fix(name, int(number))
        faults = [
            f"parameters: {shown(item)} is {kind_of(item)}, not a ParameterRecord"
            for item in self.parameters
            if not isinstance(item, ParameterRecord)
        ]
        faults = faults or faults_of(self)
        if isinstance(self.info, Mapping):
            plain, of_info = _plain_info(self.info)
            faults += of_info
            fix("info", self.info if of_info else plain)
        if faults:
            cure = READABLE if any(map(is_of_text, faults)) else None
            raise CatalogError("This record of a fit cannot be filed.", faults, cure=cure)

    def to_manifest(self) -> str:
        """Return the record as one ASCII JSON text.

        Examples
        --------
        >>> record = FitRecord(fit_key="0" * 64, run_id="1" * 32, name="line")
        >>> FitRecord.from_manifest(record.to_manifest()) == record
        True
        """
        content = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        content["components"] = [list(item) for item in self.components]
        content["parameters"] = [_without_none(item) for item in self.parameters]
        return to_json({"classy_format": FORMAT, **content})

    @classmethod
    def from_manifest(cls, text: str, *, longest: int = LARGEST_MANIFEST) -> FitRecord:
        """Return the record that a manifest describes, checking every field of it.

        Parameters
        ----------
        text : str
        longest : int
            How many characters it may have: see `largest_manifest`.

        Raises
        ------
        CatalogError
            If the text is not a manifest, or one of a later format.
        """
        content = from_json(text, longest=longest)
        if not isinstance(content, dict) or "classy_format" not in content:
            raise CatalogError("This text is not the manifest of a fit.")
        if content["classy_format"] != FORMAT:
            raise CatalogError(
                f"This fit is filed in format {content['classy_format']!r}; this classy_pm reads those up to "
                f"{FORMAT}.",
                cure="Upgrade classy_pm to read it.",
            )
        names = {item.name for item in dataclasses.fields(cls)}
        try:
            known = {name: value for name, value in former.updated(content).items() if name in names}
            known["parameters"] = tuple(ParameterRecord(**item) for item in known["parameters"])
            return cls(**known)
        except (TypeError, ValueError, AttributeError) as error:
            raise CatalogError(f"This manifest does not describe a fit: {error}.") from error


def largest_manifest(numbers: int) -> int:
    """Return how many characters the manifest of a fit of so many free and derived numbers may have.

    Examples
    --------
    >>> largest_manifest(0), largest_manifest(1000), largest_manifest(1_000_000)
    (4194304, 12386304, 134217728)
    """
    return min(LARGEST_MANIFEST + MANIFEST_PER_NUMBER * numbers, MOST_MANIFEST)


def check_manifest_size(characters: int, numbers: int) -> None:
    """Raise an error if what is to be kept of a fit beside its draws is more than a manifest can hold."""
    if characters > largest_manifest(numbers):
        raise CatalogError(
            f"What is to be kept of this fit beside its draws has {characters} characters; at most "
            f"{largest_manifest(numbers)} can be.",
            cure="Keep large things in a group of the tree, not in `info` or `extra`. A graph of still more "
            "data sets can be fitted in parts, or without a catalogue.",
        )


def now() -> str:
    """Return the present time in UTC, in ISO format with microseconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def check_info(info: object) -> dict[str, Any]:
    """Return the user's notes as the catalogue keeps them; call it before a long run.

    Scalars of NumPy become Python's, tuples become lists, and kinds of dict become dicts.

    Parameters
    ----------
    info : mapping of str to object
        The notes: str, numbers, bool, None, and lists or dicts of them.

    Raises
    ------
    CatalogError
        If anything in it cannot be kept; each such key is named on a line of its own.

    Examples
    --------
    >>> import numpy as np
    >>> check_info({"redshift": np.float32(0.5), "bands": ("g", "r")})
    {'redshift': 0.5, 'bands': ['g', 'r']}
    """
    if isinstance(info, Mapping):
        plain, faults = _plain_info(info)
    else:
        plain, faults = {}, [f"info: is {kind_of(info)}, not a dict"]
    if faults:
        cure = READABLE if any(map(is_of_text, faults)) else PLAIN
        raise CatalogError("These notes cannot be kept in the catalogue.", faults, cure=cure)
    return plain


def _plain_info(info: Mapping[Any, object]) -> tuple[dict[str, Any], list[str]]:
    """Return notes as plain data, and what is wrong with them."""
    faults: list[str] = []
    plain: dict[str, Any] = _plain_note(info, "info", 0, faults)
    if not faults and len(to_json(plain)) > LONGEST_INFO:
        faults.append(f"info: is longer than {LONGEST_INFO} characters of JSON")
    return plain, faults


def _plain_note(value: object, path: str, depth: int, faults: list[str]) -> Any:
    if len(faults) > 100:  # a list that holds itself twice has no end
        return None
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        value = float(value) if isinstance(value, np.floating) else value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value)
    if type(value) is int:
        if value.bit_length() > LONGEST_INTEGER:
            faults.append(f"{path}: is an integer of {value.bit_length()} bits, which is too large")
        return value
    if isinstance(value, str):
        faults += filter(is_of_text, text_faults(path, value))
        return composed(value)
    if not isinstance(value, Mapping | list | tuple):
        advice = "; write its `.tolist()`" if isinstance(value, np.ndarray) else ""
        faults.append(f"{path}: is {kind_of(value)}, which cannot be kept{advice}")
        return value
    if depth >= DEEPEST_INFO:
        faults.append(f"{path}: is nested deeper than {DEEPEST_INFO}")
        return None
    if isinstance(value, list | tuple):
        return [_plain_note(item, f"{path}[{i}]", depth + 1, faults) for i, item in enumerate(value)]
    content = {}
    for key, item in value.items():
        if not isinstance(key, str):
            faults.append(f"{path}: the key {shown(key)} is {kind_of(key)}, not a str")
            continue
        faults += text_faults(f"{path}: the key", key)
        place = f"{path}.{key}" if key.isidentifier() else f"{path}[{key!r}]"
        if composed(key) in content:
            faults.append(f"{place}: is there twice, with its accents written in two ways")
        content[composed(key)] = _plain_note(item, place, depth + 1, faults)
    return content


def _without_none(parameter: ParameterRecord) -> dict[str, object]:
    content = {item.name: getattr(parameter, item.name) for item in dataclasses.fields(parameter)}
    return {name: value for name, value in content.items() if value is not None}


def to_json(value: object) -> str:
    """Return strict ASCII JSON; NaN and the infinities become `{"$float": "nan"}`.

    A dict that looks like one of these has one `$` more in its key.

    Raises
    ------
    CatalogError
        If the value holds something that is not plain data, naming its path.
    """
    return json.dumps(_plain(value, ""), allow_nan=False, ensure_ascii=True, separators=(",", ":"))


def _plain(value: object, path: str) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and type(value) is int:
        if value.bit_length() > MOST_BITS:
            raise CatalogError(
                f"{path or 'This value'} is an integer of {value.bit_length()} bits, too large to be kept."
            )
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise CatalogError(f"{path or 'This dict'} has keys that are not str, which JSON cannot have.")
        escape = "$" if _looks_encoded(value) else ""
        return {
            escape + key: item if _is_plain(item) else _plain(item, f"{path}.{key}" if path else key)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            item if _is_plain(item) else _plain(item, f"{path}[{index}]") for index, item in enumerate(value)
        ]
    raise CatalogError(
        f"{path or 'This value'} is {kind_of(value)}, which cannot be kept in the catalogue.",
        cure=PLAIN,
    )


def _is_plain(value: object) -> bool:
    """Whether JSON has such a value as it is: most of the many in a large record are such."""
    kind = type(value)
    return kind is str or value is None or kind is bool or (kind is float and math.isfinite(value))  # type: ignore[arg-type]


def _looks_encoded(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and re.fullmatch(r"\$+float", next(iter(value))) is not None


def from_json(text: str, *, longest: int = LARGEST_MANIFEST) -> Any:
    """Parse JSON of limited size and depth.

    Raises
    ------
    CatalogError
        If the text is too large, too deep, or not JSON.
    """
    if len(text) > longest:
        raise CatalogError(f"A JSON text of {len(text)} characters is larger than {longest}.")
    depth = deepest = 0
    # Possessive, and without need of a closing quote: nothing is ever looked at twice.
    for bracket in re.sub(r'"(?:[^"\\]++|\\.)*+"?|[^"[\]{}]++', "", text, flags=re.DOTALL):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > DEEPEST_MANIFEST:
        raise CatalogError(f"A JSON text nested {deepest} deep is deeper than {DEEPEST_MANIFEST}.")

    def restore(item: dict[str, Any]) -> Any:
        if set(item) == {"$float"} and item["$float"] in ("nan", "inf", "-inf"):
            return float(item["$float"])
        if _looks_encoded(item) and "$float" not in item:
            ((key, content),) = item.items()
            return {key[1:]: content}
        return item

    def refuse(token: str) -> float:
        raise ValueError(f"{token} is not JSON")

    try:
        return json.loads(text, object_hook=restore, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"A text that should be JSON is not: {error}.") from error
