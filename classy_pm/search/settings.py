"""Settings of a search: declared in its class, checked when it is made.

What is not given has the default of the user's files (`configured`), or else that of the class.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import typing
from typing import Any, ClassVar

import numpy as np

from classy_pm.errors import Faults, SettingError, did_you_mean
from classy_pm.search.configured import configured

__all__ = ["Settings"]

# What there is elsewhere, and what is written here.
_CALLED_ELSEWHERE = {
    "iterations_per_update": "write checkpoint_interval= and visualize_interval=, in seconds",
    "iterations_per_full_update": "write checkpoint_interval= and visualize_interval=, in seconds",
    "iterations_per_quick_update": "write visualize_interval=, in seconds",
    "path_prefix": "the place is given with the fit, fit(model, analysis, catalog='fits.sqlite')",
    "session": "the place is given with the fit, fit(model, analysis, catalog='fits.sqlite')",
    "seed": "write random_seed=",
    "n_cores": "write number_of_cores=",
    "cores": "write number_of_cores=",
    "silence": "write progress=False",
}


class Settings:
    """Reads settings from a class's annotations, and checks what a user gives for them.

    A subclass writes ``draws: int = 1000`` in its body and has ``self.draws``. What is not declared
    is refused with the near name, and so is a value of another type; all faults are told at once.
    """

    _declared: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = [name for name in inspect.get_annotations(cls) if not name.startswith("_")]
        declared = {name: getattr(cls, name) for name in own if hasattr(cls, name)}
        cls._declared = {**cls._declared, **declared}
        cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
                for name, default in cls._declared.items()
            ]
        )

    def __init__(self, **given: Any) -> None:
        hints = typing.get_type_hints(type(self))
        faults = Faults()
        for name, value in given.items():
            if name not in self._declared:
                faults.add(name, self._unknown(name))
            elif not _fits(value, hints[name]):
                faults.add(name, f"{value!r} is not {_in_words(hints[name])}{self._hint(name, value, hints)}")
        if not faults.lines:
            defaults = {**self._declared, **self._configured(hints, given, faults)}
        if not faults.lines:
            for name, value in {**defaults, **given}.items():
                setattr(self, name, _plain(value))
            for name, text in self._faults():
                faults.add(name, text)
        faults.raise_as(SettingError, f"{type(self).__name__} cannot have these settings.")

    def _unknown(self, name: str) -> str:
        """Return what is to be said of a setting that the search does not have."""
        text = f"is not a setting of {type(self).__name__}"
        if name in _CALLED_ELSEWHERE:
            return f"{text}: {_CALLED_ELSEWHERE[name]}"
        theirs = [
            other.__name__
            for other in _family(Settings)
            if name in other._declared
            and not other.__name__.startswith("_")
            and other.__module__.startswith("classy_pm.")
        ]
        near = difflib.get_close_matches(name, self._declared, n=1, cutoff=0.8)
        if theirs and not near:
            return f"{text}; it is one of {', '.join(sorted(theirs))}"
        return f"{text}. {did_you_mean(name, self._declared)}"

    def _hint(self, name: str, value: Any, hints: dict[str, Any]) -> str:
        """Return what is to be written instead of a value of another type, or ""."""
        hint = hints[name]
        # The first that is not every search's: what somebody means who gives a number alone.
        shared = {*getattr(type(self).__mro__[-3], "_declared", {})}
        own = next((other for other in self._declared if other not in shared), "")
        if name == "name" and own and _fits(value, hints[own]):
            return f" but the name of a fit comes first; write {own}={value!r}, if that is what is meant"
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            for plain in (int(number) if number == number and number % 1 == 0 else number, number):
                if plain == plain and _fits(plain, hint):
                    return f"; write {name}={plain!r}"
            if _fits([value], hint):
                return f"; write {name}=[{value!r}]"
        records = [
            choice.__name__
            for choice in typing.get_args(hint)
            if isinstance(choice, type) and dataclasses.is_dataclass(choice)
        ]
        if records:
            return f"; write {name}={records[0]}(...)"
        return ""

    def _configured(self, hints: dict[str, Any], given: dict[str, Any], faults: Faults) -> dict[str, Any]:
        """Return the defaults of the user's files, of which those that are not given must fit."""
        defaults = configured(type(self), hints, {found.__name__: found for found in _family(Settings)})
        for name, value in defaults.items():
            if name not in given and not _fits(value, hints[name]):
                faults.add(name, f"{value!r} of the configuration is not {_in_words(hints[name])}")
        return defaults

    def _faults(self) -> typing.Iterator[tuple[str, str]]:
        """Yield (setting, fault) for values of the right type that cannot be."""
        return iter(())

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by name, in the order in which they are declared."""
        return {name: getattr(self, name) for name in self._declared}

    def __repr__(self) -> str:
        changed = {name: value for name, value in self.settings.items() if value != self._declared[name]}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


def _family(cls: type[Settings]) -> typing.Iterator[type[Settings]]:
    """Yield all classes that are made of this one."""
    for other in cls.__subclasses__():
        yield other
        yield from _family(other)


def positive(settings: Settings, *names: str) -> typing.Iterator[tuple[str, str]]:
    """Yield a fault for each of these settings that is not above zero."""
    for name in names:
        if not getattr(settings, name) > 0:
            yield name, f"{getattr(settings, name)!r} is not above zero"


def _plain(value: Any) -> Any:
    """Return NumPy's scalars as Python's, so that equal settings are equal."""
    return value.item() if isinstance(value, np.generic) else value


def _fits(value: Any, hint: Any) -> bool:
    value = _plain(value)
    if hint is Any:
        return True
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if typing.get_origin(hint) is dict:
        return isinstance(value, dict)
    choices = typing.get_args(hint)
    if choices and typing.get_origin(hint) is not None and not inspect.isclass(hint):
        return any(_fits(value, choice) for choice in choices)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _in_words(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(repr(choice) for choice in typing.get_args(hint))}"
    if typing.get_origin(hint) is dict:
        return "a dict"
    choices = typing.get_args(hint)
    if any(typing.get_origin(choice) is typing.Literal for choice in choices):
        return ", or ".join(_in_words(choice) for choice in choices)
    names = [getattr(choice, "__name__", str(choice)) for choice in choices or (hint,)]
    return " or ".join("None" if name == "NoneType" else name for name in names)
