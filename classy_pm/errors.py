"""The errors that classy_pm raises: one root, `ClassyError`, and its children.

Every error says what was given, at which path, why it cannot be, and what to write instead. Where
an object has several faults they are collected with `Faults` and told at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

# So many known names are listed where none is near.
LISTED = 100


class ClassyError(Exception):
    """Root of all errors that classy_pm raises on purpose.

    Parameters
    ----------
    message : str
        One sentence: what was given and why it cannot be.
    faults : iterable of str, optional
        Further lines, one a fault, each beginning with the path it belongs to.
    cure : str, optional
        What to write instead.
    """

    def __init__(self, message: str, faults: Iterable[str] = (), cure: str | None = None) -> None:
        self.message = message
        self.faults = tuple(faults)
        self.cure = cure
        lines = [message, *(f"  - {fault}" for fault in self.faults)]
        if cure:
            lines.append(cure)
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.faults, self.cure))


class ModelError(ClassyError, ValueError):
    """A model that cannot be composed, or that cannot be fitted as it stands."""


class UnknownNameError(ClassyError, AttributeError):
    """An attribute or argument that the class, model or search does not have."""


class SettingError(ClassyError, TypeError):
    """A setting that a search does not know, or a value that it cannot take."""


class DataError(ClassyError, ValueError):
    """Data in an analysis that no likelihood can be computed from."""


class LikelihoodError(ClassyError, TypeError):
    """A likelihood that returns something other than one real number."""


class TraceError(ClassyError, TypeError):
    """A likelihood that cannot be traced into a graph; the text names the user's file and line."""


class WrittenInJaxError(TraceError):
    """A likelihood that cannot be traced because it is written in `jax.numpy`."""


class MissingPackageError(ClassyError, ImportError):
    """A package that is needed for what was asked, and is not installed."""


class SearchError(ClassyError, RuntimeError):
    """A search that cannot run on this model, or that found no place to start."""


class StudyError(ClassyError, RuntimeError):
    """A study of which no fit has succeeded.

    Attributes
    ----------
    failures : list
        Each that failed, with its name, its error and its traceback.
    """

    failures: Sequence[Any] = ()


class CatalogError(ClassyError, RuntimeError):
    """A catalogue that cannot be read or written."""


class IdentityError(ClassyError, TypeError):
    """A value of a type from which no identity can be computed; the text names its path."""


class TraceWarning(UserWarning):
    """Says that a likelihood is called as a black box, and why; or that JAX loses digits of its data."""


class FitException(Exception):
    """Raise this in a likelihood where a point is impossible: its log likelihood is -inf."""


class Faults:
    """Collects the faults of one object, so that all of them are told at once.

    Examples
    --------
    >>> faults = Faults()
    >>> faults.add("gaussian.sigma", "has no prior")
    >>> faults.raise_as(ModelError, "This model cannot be fitted.")
    Traceback (most recent call last):
    classy_pm.errors.ModelError: This model cannot be fitted.
      - gaussian.sigma: has no prior
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, path: str, text: str) -> None:
        """Note one fault at a dotted path."""
        self.lines.append(f"{path}: {text}" if path else text)

    def raise_as(self, kind: type[ClassyError], message: str, cure: str | None = None) -> None:
        """Raise an error of this kind that tells all faults, if there are any."""
        if self.lines:
            raise kind(message, self.lines, cure)


def some_of(texts: Iterable[str], most: int, between: str = ", ") -> str:
    """Return the first of some texts joined, and how many more there are.

    Examples
    --------
    >>> some_of(["a", "b", "c", "d"], 2, " and ")
    'a and b and 2 more'
    """
    texts = list(texts)
    left_out = len(texts) - most
    return between.join([*texts[:most], *([f"{left_out} more"] if left_out > 0 else [])])


def did_you_mean(name: str, known: Iterable[str], also: Iterable[str] = ()) -> str:
    """Return a sentence that suggests the nearest known names, or lists them all.

    Parameters
    ----------
    name : str
    known : iterable of str
    also : iterable of str
        Names that are suggested where they are near, and not listed.

    Examples
    --------
    >>> did_you_mean("sigam", ["centre", "sigma"])
    'Did you mean `sigma`?'
    """
    known = [other for other in known if other]  # the root of a model has no name
    also = list(also)
    inside = [other for other in known if min(len(name), len(other)) > 2 and (name in other or other in name)]
    near = (
        difflib.get_close_matches(name, known, n=2, cutoff=0.8)
        or difflib.get_close_matches(name, also, n=2, cutoff=0.8)
        or inside[:2]
        or difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    )
    if near:
        return f"Did you mean {' or '.join(f'`{match}`' for match in near)}?"
    if not known:
        return ""
    return f"Known names: {some_of((f'`{other}`' for other in known), LISTED)}."
