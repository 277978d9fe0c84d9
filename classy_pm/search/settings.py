"""Settings of a search: declared in its class, checked when it is made.

What is not given has the default of the user's files (`configured`), or else that of the class.
"""

from __future__ import annotations

import inspect
import typing
from typing import Any, ClassVar

import numpy as np

from classy_pm.errors import Faults, SettingError, did_you_mean
from classy_pm.search.configured import configured

__all__ = ["Settings"]


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
                faults.add(
                    name, f"is not a setting of {type(self).__name__}. {did_you_mean(name, self._declared)}"
                )
            elif not _fits(value, hints[name]):
                faults.add(name, f"{value!r} is not {_in_words(hints[name])}")
        if not faults.lines:
            defaults = {**self._declared, **self._configured(hints, given, faults)}
        if not faults.lines:
            for name, value in {**defaults, **given}.items():
                setattr(self, name, _plain(value))
            for name, text in self._faults():
                faults.add(name, text)
        faults.raise_as(SettingError, f"{type(self).__name__} cannot have these settings.")

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
    names = [getattr(choice, "__name__", str(choice)) for choice in typing.get_args(hint) or (hint,)]
    return " or ".join("None" if name == "NoneType" else name for name in names)
