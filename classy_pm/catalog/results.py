"""From a filed fit to its model, its result and the user's objects.

A class that a file names is a text. Objects are made of classes that the reader's code has handed over,
by name; any other becomes a `Stranger`, which has the attributes and no more.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from classy_pm.catalog.faults import UntrustedFile
from classy_pm.catalog.selection import element_of
from classy_pm.catalog.stored import StoredFit
from classy_pm.errors import CatalogError, ClassyError, ModelError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from classy_pm.model import Node
    from classy_pm.result import Result, Samples

__all__ = [
    "instance_of",
    "model_of",
    "place_of",
    "result_of",
    "samples_of",
    "saved_item",
    "saved_of",
    "variable_of",
]


def model_of(stored: StoredFit, classes: Mapping[str, type]) -> Node:
    """Return the model that was fitted.

    Parameters
    ----------
    stored : StoredFit
    classes : mapping of str to type
        Classes by their references.

    Raises
    ------
    CatalogError
        If the fit was filed without its model.
    UntrustedFile
        If what was filed is no model.
    """
    from classy_pm.model import model_of_strangers

    record = stored.record
    data = record.model
    if not data:
        raise CatalogError(
            f"The fit {stored.fit_key[:12]} was filed without its model, in which there is something that "
            "is no plain data.",
            cure="Its draws can be read: values('idata'), or a parameter by its name.",
        )
    try:
        model: Node = model_of_strangers(
            data, _by_name(classes, [part.class_ref for part in record.components])
        )
    except ModelError as error:
        raise UntrustedFile(f"The model of the fit {stored.fit_key[:12]} cannot be read: {error}") from error
    return model


def result_of(stored: StoredFit, classes: Mapping[str, type]) -> Result:
    """Return the fit as its search gave it."""
    from classy_pm.plan import make_plan
    from classy_pm.result import make_result
    from classy_pm.result.tree import parameter_names

    model, tree = model_of(stored, classes), stored.tree()
    try:
        belongs = parameter_names(tree) == list(make_plan(model).names)
    except (ClassyError, KeyError, ValueError):
        belongs = False
    if not belongs:
        raise UntrustedFile(
            f"The parameters of the model of the fit {stored.fit_key[:12]} are not those of its draws."
        )
    return make_result(model, tree, identifier=stored.fit_key, from_catalog=True)


def samples_of(stored: StoredFit, classes: Mapping[str, type]) -> Samples:
    """Return the fit's draws."""
    return result_of(stored, classes).samples


def instance_of(stored: StoredFit, classes: Mapping[str, type]) -> Any:
    """Return the objects at the draw with the greatest log likelihood."""
    return samples_of(stored, classes).max_log_likelihood_instance


def saved_of(stored: StoredFit, classes: Mapping[str, type]) -> dict[str, Any]:
    """Return what the analysis has saved with the fit, by name."""
    from classy_pm.result import tree

    return tree.saved_of(stored.tree())


def saved_item(stored: StoredFit, name: str) -> Any:
    """Return one thing that the analysis has saved with the fit."""
    saved = saved_of(stored, {})
    if name not in saved:
        raise UnknownNameError(
            f"With the fit {stored.fit_key[:12]} no `{name}` was saved.", cure=did_you_mean(name, saved)
        )
    return saved[name]


def variable_of(stored: StoredFit, name: str, *, listed: bool = True) -> np.ndarray[Any, Any]:
    """Return the draws of a variable of the posterior, or of an element of one, shape (chain, draw, ...).

    Parameters
    ----------
    stored : StoredFit
    name : str
    listed : bool
        Whether the index has it: the names of many data sets it has not, and no record is read for them.
    """
    array, labels = element_of(name) or (name, ())
    if listed and _has_names(labels) and (first := stored.record.aliases.get(name)):
        return variable_of(stored, first)  # its number, without reading more
    try:
        draws = stored.variable(array)
    except UnknownNameError:
        if not labels:
            raise
        return stored.variable(name)
    if not labels:
        return draws
    names = _coordinates(stored.tree(), array) if _has_names(labels) else {}
    index = _numbered(labels, names)
    shape = draws.shape[2:]
    if index is None or not _is_within(index, shape):
        there = f"has shape {shape} there" if shape else "is a number there, and no array"
        raise UnknownNameError(
            f"The posterior of the fit {stored.fit_key[:12]} has no `{name}`: `{array}` {there}.",
            cure=_nearest(array, labels, names),
        )
    element_draws: np.ndarray[Any, Any] = draws.transpose(*range(2, draws.ndim), 0, 1)[index]
    return element_draws


def _has_names(labels: Iterable[int | str]) -> bool:
    return any(isinstance(label, str) for label in labels)


def _coordinates(content: xr.DataTree, array: str) -> dict[int, list[str]]:
    """Return the names along those axes of a variable of the posterior that have some: data sets'."""
    from classy_pm.result import tree

    dataset = content[tree.POSTERIOR].to_dataset()
    known = {
        axis: dataset.coords[dim].values
        for axis, dim in enumerate(dataset[array].dims[2:])
        if dim in dataset.coords
    }
    return {
        axis: [unicodedata.normalize("NFC", str(item)) for item in values]
        for axis, values in known.items()
        if values.dtype.kind in "UO"
    }


def _numbered(labels: Sequence[int | str], names: Mapping[int, list[str]]) -> tuple[int, ...] | None:
    """Return where an element is that is named, or None if there is none of that name."""
    index = []
    for axis, label in enumerate(labels):
        if isinstance(label, str):
            if label not in names.get(axis, ()):
                return None
            label = names[axis].index(label)
        index.append(label)
    return tuple(index)


def _nearest(array: str, labels: Sequence[int | str], names: Mapping[int, list[str]]) -> str | None:
    """Return what the first name that is not there may be meant for."""
    for axis, label in enumerate(labels):
        if isinstance(label, str) and label not in names.get(axis, ()):
            return did_you_mean(label, names.get(axis, ())) or f"Its elements have numbers: `{array}[0]`."
    return None


def place_of(stored: StoredFit, name: str) -> str | None:
    """Return whether a name is that of a variable of the `posterior` of a fit, or of what was `saved`."""
    from classy_pm.result import tree

    content = stored.tree()
    posterior = content[tree.POSTERIOR].data_vars if tree.POSTERIOR in content.children else {}
    array, labels = element_of(name) or (name, ())
    if name in posterior:
        return "posterior"
    if array in posterior:
        index = _numbered(labels, _coordinates(content, array))
        if index is not None and _is_within(index, posterior[array].shape[2:]):
            return "posterior"
    return "saved" if name in tree.saved_of(content) else None


def _is_within(index: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape has an element there."""
    return len(index) == len(shape) and all(place < size for place, size in zip(index, shape, strict=True))


def _by_name(classes: Mapping[str, type], filed: Iterable[str]) -> dict[str, type]:
    """Return classes by their names in a model, which for those of notebooks have no hash of their arguments.

    A class of a notebook is not taken for one of the same name that has other arguments.
    """
    others = {_name(ref): ref for ref in filed if "#" in ref}
    return {
        _name(ref): cls
        for ref, cls in classes.items()
        if "#" not in ref or others.get(_name(ref), ref) == ref
    }


def _name(ref: str) -> str:
    return ref.partition("#")[0]
