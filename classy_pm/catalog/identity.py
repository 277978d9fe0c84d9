"""The identity of a fit: a typed, exact hash of everything that determines its answer.

Every value becomes a type tag, a length and its bytes, containers recursively, so two different
values cannot share an encoding, and equal ones share it in every process and on every machine. A
value of a type that is not known here is refused by its path: leaving it out would let a fit be
taken for another.

Beside the bytes each value gets a JSON-able description (`describe`), which the catalogue keeps so
that `classy-pm show` and `diff` can say what went into a key.
"""

from __future__ import annotations

import datetime
import enum
import functools
import hashlib
import math
import pathlib
import re
import sys
import types
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from classy_pm.catalog import arrays
from classy_pm.catalog.references import attributes_of, class_ref, closure_of, code_parts, has_hidden_state
from classy_pm.errors import IdentityError

HEADER = b"classy-identity-1\n"
#: Sequences longer than this are described by their length and hash, to keep manifests small.
LONGEST_SHOWN = 64
#: Modules in which ufuncs have names, and what the identity calls them.
UFUNCS = (("numpy", "numpy"), ("scipy.special", "scipy.special"), ("numpy._core.umath", "numpy"))
CURE = "Define `__identity__(self)` on its class, returning plain data that tells such objects apart."


class Encoded(NamedTuple):
    """A value as exact bytes, and as JSON-able data for people."""

    code: bytes
    shown: object


def fit_key(payload: Mapping[str, object]) -> str:
    """Return the 64 hexadecimal digits that identify a fit.

    Parameters
    ----------
    payload : mapping of str to object
        Everything that determines the answer: model, data, likelihood, search, extra.

    Returns
    -------
    str
        The same for equal payloads, in every process and on every machine; different otherwise.

    Raises
    ------
    IdentityError
        If the payload holds a value of a type from which no identity can be computed.

    Examples
    --------
    >>> fit_key({"draws": 500}) == fit_key({"draws": 500})
    True
    >>> fit_key({"draws": 500}) == fit_key({"draws": 500.0})
    False
    """
    return part_key(dict(payload))


def part_key(value: object) -> str:
    """Return the identity of one part of a fit, such as its model or its data, as `fit_key` does."""
    return hashlib.sha256(HEADER + canonical(value)).hexdigest()


def canonical(value: object, path: str = "") -> bytes:
    """Return the bytes that stand for a value: equal for equal values, different otherwise.

    Dictionaries and sets have no order; a list and a tuple differ, as do 1, 1.0 and True. Floats
    are exact, with one NaN and one zero. Arrays count with dtype, shape and contents, labelled
    arrays with dims and coordinates, classes by name and `identity_version`, functions by name and
    by what they close over, local ones also by their code; other objects by their class, its
    `identity_version`, and attributes, or by what their `__identity__` method returns.

    Parameters
    ----------
    value : object
        The value.
    path : str, optional
        How errors name it; attributes and keys are added with dots.

    Examples
    --------
    >>> canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})
    True
    >>> canonical(1e-9) == canonical(0.0)
    False
    """
    return _encode(value, path).code


def describe(value: object, path: str = "") -> object:
    """Return a value as JSON-able data for people: arrays as dtype, shape and hash.

    Examples
    --------
    >>> describe({"draws": 500, "limits": (0.0, float("inf"))})
    {'draws': 500, 'limits': [0.0, 'inf']}
    """
    return _encode(value, path).shown


def _encode(value: object, path: str) -> Encoded:
    try:
        return _Walk().encode(value, path)
    except RecursionError:
        raise IdentityError(
            f"{path or 'This value'} is nested too deeply to compute an identity.", cure=CURE
        ) from None


def has_hook(value: object) -> bool:
    """Whether the class of an object says by `__identity__` what tells such objects apart."""
    return not isinstance(value, type) and getattr(type(value), "__identity__", None) is not None


def told_identity(value: Any, path: str = "") -> object:
    """Return what `__identity__` of an object returns."""
    if not callable(value.__identity__):
        raise IdentityError(
            f"{path or 'This value'}: `__identity__` of {class_ref(type(value))} is not a method.", cure=CURE
        )
    return value.__identity__()


def class_version(cls: type) -> str | None:
    """Return the `identity_version` of a class as text, or None if it has none."""
    version = getattr(cls, "identity_version", None)
    if version is not None and not isinstance(version, int | float | str | tuple):
        raise IdentityError(
            f"`identity_version` of {class_ref(cls)} is {version!r}.",
            cure="Write a number or a str in the class: identity_version = 2.",
        )
    return None if version is None else str(version)


def _leaf(tag: str, text: str | bytes, shown: object) -> Encoded:
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return Encoded(b"%s %d\n" % (tag.encode(), len(content)) + content, shown)


def _branch(tag: str, codes: Iterable[bytes], shown: object) -> Encoded:
    return _leaf(tag, b"".join(codes), shown)


def _real_text(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return (value + 0.0).hex()  # + 0.0 makes -0.0 into 0.0


def _real_shown(value: float) -> object:
    return value if math.isfinite(value) else _real_text(value)


class _Walk:
    """One traversal of a value; remembers the objects that it is inside of, to see cycles."""

    def __init__(self) -> None:
        self.inside: set[int] = set()

    def encode(self, value: object, path: str) -> Encoded:
        if id(value) in self.inside:
            raise IdentityError(f"{path or 'This value'} contains itself.", cure=CURE)
        handler = ATOMS.get(type(value))
        if handler is not None:
            return handler(value)
        self.inside.add(id(value))
        try:
            if has_hook(value):
                plain = self.encode(told_identity(value, path), f"{path}.__identity__()")
                return self._object("identity", value, [plain], plain.shown)
            for kind, branch in BRANCHES:
                if isinstance(value, kind):
                    return branch(self, value, path)
            return self._foreign(value, path)
        finally:
            self.inside.discard(id(value))

    def _object(self, tag: str, value: object, parts: Iterable[Encoded], shown: object) -> Encoded:
        """Encode parts under the name and version of the value's class."""
        ref = class_ref(type(value))
        version = class_version(type(value))
        head = [_leaf("class", ref, ref).code]
        if version is not None:
            head.append(_leaf("version", version, None).code)
        return _branch(tag, [*head, *(part.code for part in parts)], {"class": ref, "is": shown})

    def _sequence(self, value: Iterable[object], path: str, tag: str = "list") -> Encoded:
        items = [self.encode(item, f"{path}[{index}]") for index, item in enumerate(value)]
        encoded = _branch(tag, (item.code for item in items), [item.shown for item in items])
        if len(items) > LONGEST_SHOWN:
            return encoded._replace(
                shown={tag: len(items), "sha256": hashlib.sha256(encoded.code).hexdigest()}
            )
        return encoded

    def _list(self, value: list[object] | tuple[object, ...], path: str) -> Encoded:
        tag = "tuple" if isinstance(value, tuple) else "list"
        encoded = self._sequence(value, path, tag)
        if type(value) in (list, tuple):
            return encoded
        return self._object(tag, value, [encoded, self._attributes(value, path)], encoded.shown)

    def _set(self, value: set[object] | frozenset[object], path: str) -> Encoded:
        items = sorted(self.encode(item, f"{path}{{...}}") for item in value)
        return _branch("set", (item.code for item in items), [item.shown for item in items])

    def _mapping(self, value: Mapping[Any, object], path: str) -> Encoded:
        pairs = []
        for key, item in value.items():
            dotted = f"{path}.{key}" if isinstance(key, str) else f"{path}[{key!r}]"
            name = dotted if path else str(key)
            pairs.append((self.encode(key, f"key of {path}"), self.encode(item, name)))
        codes = (part.code for pair in sorted(pairs, key=lambda pair: pair[0].code) for part in pair)
        shown: object = (
            {str(key.shown): item.shown for key, item in pairs}
            if all(isinstance(key, str) for key in value)
            else {"dict": [[key.shown, item.shown] for key, item in pairs]}
        )
        encoded = _branch("dict", codes, shown)
        if type(value) in (dict, types.MappingProxyType):
            return encoded
        return self._object("dict", value, [encoded, self._attributes(value, path)], shown)

    def _attributes(self, value: object, path: str) -> Encoded:
        """Encode instance attributes and slots, without what `cached_property` has left there."""
        return self._mapping(attributes_of(value), path)

    def _enum(self, value: enum.Enum, path: str) -> Encoded:
        name = value.name if value.name is not None else repr(value.value)
        return self._object("enum", value, [_leaf("str", name, name)], name)

    def _scalar(self, value: np.generic, path: str) -> Encoded:
        part = self._array(np.asarray(value), path)
        return _branch("scalar", [part.code], value.item() if value.dtype.kind in "iu" else repr(value))

    def _array(self, value: np.ndarray[Any, Any], path: str) -> Encoded:
        if isinstance(value, np.ma.MaskedArray):
            plain = self._array(np.asarray(value.data), path)
            parts = [plain, self._array(np.ma.getmaskarray(value), path)]
            return self._object("masked array", value, parts, plain.shown)
        if type(value) is not np.ndarray:
            plain = self._array(np.asarray(value), path)
            return self._object("array subclass", value, [plain, self._attributes(value, path)], plain.shown)
        if value.dtype.hasobject or value.dtype.kind == "T":
            items = self._sequence(value.ravel().tolist(), path)
            shape = self._sequence(value.shape, path, "tuple")
            return _branch("object array", [shape.code, items.code], items.shown)
        dtype, digest = arrays.digest(value, path)
        code = f"{dtype} {list(value.shape)} {digest}"
        return _leaf("array", code, {"array": dtype, "shape": list(value.shape), "sha256": digest})

    def _class(self, value: type, path: str) -> Encoded:
        ref = class_ref(value)
        version = class_version(value)
        return _leaf("class", ref if version is None else f"{ref} {version}", ref)

    def _function(self, value: Any, path: str) -> Encoded:
        ref = class_ref(value)
        # A decorated function has the name of the one inside, and its arguments in the closure.
        named = code_parts(value) if "<" in ref else closure_of(value)
        if value.__dict__:
            named = [*named, ("__dict__", value.__dict__)]
        if not named:
            return _leaf("function", ref, ref)
        parts = [self.encode(part, f"{path}.{name}") for name, part in named]
        return _branch("local function", [_leaf("function", ref, ref).code, *(p.code for p in parts)], ref)

    def _method(self, value: Any, path: str) -> Encoded:
        owner = self.encode(value.__self__, f"{path}.__self__")
        title = getattr(value, "__name__", "?")
        codes = [owner.code, _leaf("str", title, title).code]
        if isinstance(value, types.MethodType):
            codes.append(self.encode(value.__func__, f"{path}.__func__").code)
        return _branch("method", codes, {"method": title, "of": owner.shown})

    def _ufunc(self, value: np.ufunc, path: str) -> Encoded:
        """Encode a ufunc by its name, if that is where it can be found."""
        name = value.__name__
        for module, ref in UFUNCS:
            if getattr(sys.modules.get(module), name, None) is value:
                return _leaf("function", f"{ref}:{name}", f"{ref}:{name}")
        raise IdentityError(
            f"{path or 'This value'} is the ufunc {name!r}, which does not tell what it computes.",
            cure="Keep the Python function that it was made from, or np.vectorize(function), instead.",
        )

    def _vectorize(self, value: np.vectorize, path: str) -> Encoded:
        names = {
            name: part for name, part in vars(value).items() if name not in ("_ufunc", "__doc__", "_doc")
        }
        attributes = self._mapping(names, path)
        return self._object("vectorize", value, [attributes], attributes.shown)

    def _cached(self, value: Any, path: str) -> Encoded:
        content = self.encode(value.__wrapped__, f"{path}.__wrapped__")
        return _branch("cached function", [content.code], content.shown)

    def _builtin(self, value: Any, path: str) -> Encoded:
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, types.ModuleType):
            return self._method(value, path)
        ref = f"{getattr(value, '__module__', None) or 'builtins'}:{value.__name__}"
        return _leaf("function", ref, ref)

    def _partial(self, value: functools.partial[object], path: str) -> Encoded:
        content = self._list([value.func, value.args, dict(value.keywords)], path)
        encoded = _branch("partial", [content.code], {"partial": content.shown})
        if type(value) is functools.partial and not vars(value):
            return encoded
        return self._object("partial", value, [encoded, self._attributes(value, path)], encoded.shown)

    def _generator(self, value: np.random.Generator, path: str) -> Encoded:
        state = self._mapping(value.bit_generator.state, path)
        return _branch("random generator", [state.code], "random generator")

    def _foreign(self, value: object, path: str) -> Encoded:
        """Encode labelled tables of xarray and pandas, other arrays, and users' own objects."""
        plain = arrays.labelled(value)
        if plain is not None:
            kind, content = plain
            encoded = self._mapping(content, path)
            return _branch(kind, [encoded.code], {kind: encoded.shown})
        for atomic, atom in ATOMS.items():
            if isinstance(value, atomic):  # a user's own kind of str, int or float
                plain_part = atom(value)
                parts = [plain_part, self._attributes(value, path)]
                return self._object("subclass", value, parts, plain_part.shown)
        if has_hidden_state(type(value)):
            if hasattr(type(value), "__array__"):
                encoded = self._array(np.asarray(value), path)
                return self._object("array-like", value, [encoded], encoded.shown)
            raise IdentityError(
                f"{path or 'This value'} is a {class_ref(type(value))}, from which no identity can be "
                "computed: its state is not visible to Python.",
                cure=CURE if not path else f"Leave it out of what `{path}` belongs to, or: {CURE}",
            )
        attributes = self._attributes(value, path)
        return self._object("object", value, [attributes], attributes.shown)


def _text(value: str) -> Encoded:
    return _leaf("str", unicodedata.normalize("NFC", value), value)


def _float(value: float) -> Encoded:
    return _leaf("float", _real_text(float(value)), _real_shown(float(value)))


def _complex(value: complex) -> Encoded:
    return _leaf("complex", f"{_real_text(value.real)} {_real_text(value.imag)}", str(complex(value)))


def _bytes(value: bytes | bytearray) -> Encoded:
    digest = hashlib.sha256(value).hexdigest()
    return _leaf(type(value).__name__, bytes(value), {"bytes": len(value), "sha256": digest})


def _by_text(tag: str, convert: Callable[[Any], str] = str) -> Callable[[Any], Encoded]:
    return lambda value: _leaf(tag, convert(value), convert(value))


#: Exact types with no parts. `np.float64`, `np.bool` and `np.str_` count as the Python types that
#: they are; every other NumPy scalar keeps its dtype.
ATOMS: dict[type, Callable[[Any], Encoded]] = {
    type(None): lambda value: _leaf("none", "", None),
    bool: lambda value: _leaf("bool", str(value), value),
    np.bool: lambda value: _leaf("bool", str(bool(value)), bool(value)),
    int: lambda value: _leaf("int", str(value), value),
    float: _float,
    np.float64: _float,
    complex: _complex,
    np.complex128: _complex,
    str: _text,
    np.str_: lambda value: _text(str(value)),
    bytes: _bytes,
    bytearray: _bytes,
    datetime.datetime: _by_text("datetime", datetime.datetime.isoformat),
    datetime.date: _by_text("date", datetime.date.isoformat),
    datetime.time: _by_text("time", datetime.time.isoformat),
    datetime.timedelta: _by_text("timedelta", repr),
    Decimal: _by_text("decimal"),
    Fraction: _by_text("fraction"),
    uuid.UUID: _by_text("uuid"),
    range: _by_text("range", repr),
    slice: _by_text("slice", repr),
    type(...): _by_text("ellipsis"),
    type(re.compile("")): _by_text("pattern", lambda value: f"{value.flags} {value.pattern!r}"),
    types.ModuleType: _by_text("module", lambda value: value.__name__),
    types.GenericAlias: _by_text("alias", repr),
}

BRANCHES: list[tuple[Any, Callable[[_Walk, Any, str], Encoded]]] = [
    (enum.Enum, _Walk._enum),
    (type, _Walk._class),
    (pathlib.PurePath, lambda walk, value, path: _leaf("path", value.as_posix(), value.as_posix())),
    ((list, tuple), _Walk._list),
    ((set, frozenset), _Walk._set),
    ((dict, types.MappingProxyType), _Walk._mapping),
    (np.ndarray, _Walk._array),
    (np.generic, _Walk._scalar),
    (np.random.Generator, _Walk._generator),
    (types.FunctionType, _Walk._function),
    (types.MethodType, _Walk._method),
    (types.BuiltinFunctionType, _Walk._builtin),
    (np.ufunc, _Walk._ufunc),
    (np.vectorize, _Walk._vectorize),
    (np.dtype, lambda walk, value, path: _leaf("dtype", repr(value), str(value))),
    (type(functools.cache(len)), _Walk._cached),
    (functools.partial, _Walk._partial),
]
