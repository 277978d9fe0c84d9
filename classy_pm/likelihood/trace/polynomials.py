"""Equivalents of `numpy.polynomial`, `np.poly1d`, `np.r_` and `np.c_`, which make plain arrays of theirs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.dispatch import find_traced, lift, shadow_of
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.words import refuse

# For each kind: the polynomial of degree 1, and that of degree k + 1 from those of degree k and k - 1.
RECURRENCES: dict[str, tuple[Callable[[Any], Any], Callable[[int, Any, Any, Any], Any]]] = {
    "poly": (lambda x: x, lambda k, x, p, before: x * p),
    "cheb": (lambda x: x, lambda k, x, p, before: 2 * x * p - before),
    "leg": (lambda x: x, lambda k, x, p, before: ((2 * k + 1) * x * p - k * before) / (k + 1)),
    "herm": (lambda x: 2 * x, lambda k, x, p, before: 2 * x * p - 2 * k * before),
    "herme": (lambda x: x, lambda k, x, p, before: x * p - k * before),
    "lag": (lambda x: 1 - x, lambda k, x, p, before: ((2 * k + 1 - x) * p - k * before) / (k + 1)),
}
MODULES = {
    "poly": "polynomial",
    "cheb": "chebyshev",
    "leg": "legendre",
    "herm": "hermite",
    "herme": "hermite_e",
    "lag": "laguerre",
}
CLASSES = {
    "poly": "Polynomial",
    "cheb": "Chebyshev",
    "leg": "Legendre",
    "herm": "Hermite",
    "herme": "HermiteE",
    "lag": "Laguerre",
}


def series(kind: str, x: Any, coefficients: Any) -> Any:
    """Return a sum of polynomials, the lowest degree first."""
    coefficients = as_traced(coefficients)
    if np.ndim(shadow_of(coefficients)) != 1:
        refuse("a polynomial with coefficients in more than one dimension has no equivalent in a graph")
    x = as_traced(x) if isinstance(lift(x), list | tuple) else lift(x)
    first, following = RECURRENCES[kind]
    before: Any = np.ones_like(shadow_of(x), dtype=float)
    current = first(x)
    total = coefficients[0] * before
    for degree in range(1, np.size(shadow_of(coefficients))):
        total = total + coefficients[degree] * current
        before, current = current, following(degree, x, current, before)
    return total


def _value(original: Callable[..., Any], kind: str) -> Callable[..., Any]:
    def call(x: Any, c: Any, tensor: bool = True) -> Any:
        if find_traced([x, c]) is None:
            return original(x, c, tensor) if kind != "poly" or tensor is not True else original(x, c)
        return series(kind, x, c)

    return call


class _Series:
    """A polynomial whose coefficients or domain are traced: it can be evaluated."""

    def __init__(self, kind: str, coef: Any, domain: Any = None, window: Any = None) -> None:
        self.kind = kind
        self.coef = as_traced(coef)
        if domain is not None and window is None:
            window = getattr(getattr(np.polynomial, MODULES[kind]), CLASSES[kind]).window
        self.domain, self.window = domain, window

    def __call__(self, x: Any) -> Any:
        if self.domain is not None:
            (a, b), (c, d) = self.domain, self.window
            x = c + (x - a) * ((d - c) / (b - a))
        return series(self.kind, x, self.coef)

    def _with(self, coef: Any) -> _Series:
        return _Series(self.kind, coef, self.domain, self.window)

    def deriv(self, m: int = 1) -> _Series:
        """Return the derivative of a plain power series."""
        self._only_powers("deriv")
        return self._with(np.polyder(self.coef[::-1], m)[::-1])

    def integ(self, m: int = 1) -> _Series:
        """Return the integral of a plain power series, 0 at 0."""
        self._only_powers("integ")
        return self._with(np.polyint(self.coef[::-1], m)[::-1])

    def _only_powers(self, what: str) -> None:
        if self.kind != "poly" or self.domain is not None:
            refuse(
                f"`{what}` of a traced `{CLASSES[self.kind]}` has no equivalent in a graph",
                "Take `Polynomial` without a domain.",
            )

    def _operand(self, other: Any) -> Any:
        if isinstance(other, _Series) or hasattr(other, "coef"):
            plain = [
                np.array_equal(part, [-1, 1])
                for part in (getattr(other, "domain", None),)
                if part is not None
            ]
            if getattr(other, "kind", self.kind) != self.kind or (self.domain is None) != all(plain):
                refuse("two polynomials of different kinds or domains are put together")
            return other.coef
        return np.atleast_1d(as_traced(other))

    def __add__(self, other: Any) -> _Series:
        return self._with(np.polyadd(self.coef[::-1], self._operand(other)[::-1])[::-1])

    __radd__ = __add__

    def __sub__(self, other: Any) -> _Series:
        return self._with(np.polysub(self.coef[::-1], self._operand(other)[::-1])[::-1])

    def __rsub__(self, other: Any) -> _Series:
        return -self + other

    def __neg__(self) -> _Series:
        return self._with(-self.coef)

    def __mul__(self, other: Any) -> _Series:
        factor = self._operand(other)
        if np.size(shadow_of(factor)) == 1:
            return self._with(self.coef * factor[0])
        self._only_powers("the product")
        return self._with(np.convolve(self.coef, factor))

    __rmul__ = __mul__

    def __truediv__(self, number: Any) -> _Series:
        return self._with(self.coef / number)

    def __pow__(self, exponent: int) -> _Series:
        return reduce(operator.mul, [self] * exponent, self._with([1.0]))

    def __len__(self) -> int:
        return np.size(shadow_of(self.coef))


class _Poly1d:
    """A polynomial with traced coefficients, the highest degree first."""

    def __init__(self, coefficients: Any) -> None:
        self.coeffs = self.c = as_traced(coefficients)
        self.order = self.o = np.size(shadow_of(self.c)) - 1

    def __call__(self, x: Any) -> Any:
        return np.polyval(self.c, x)

    def deriv(self, m: int = 1) -> _Poly1d:
        """Return the derivative."""
        return _Poly1d(np.polyder(self.c, m))

    def integ(self, m: int = 1, k: Any = 0) -> _Poly1d:
        """Return the integral."""
        return _Poly1d(np.polyint(self.c, m, k))

    def __getitem__(self, power: int) -> Any:
        return self.c[self.order - power] if 0 <= power <= self.order else 0

    def __add__(self, other: Any) -> _Poly1d:
        return _Poly1d(np.polyadd(self.c, _coefficients(other)))

    __radd__ = __add__

    def __sub__(self, other: Any) -> _Poly1d:
        return _Poly1d(np.polysub(self.c, _coefficients(other)))

    def __rsub__(self, other: Any) -> _Poly1d:
        return -self + other

    def __neg__(self) -> _Poly1d:
        return _Poly1d(-self.c)

    def __mul__(self, other: Any) -> _Poly1d:
        return _Poly1d(np.polymul(self.c, _coefficients(other)))

    __rmul__ = __mul__

    def __truediv__(self, number: Any) -> _Poly1d:
        return _Poly1d(self.c / number)

    def __pow__(self, exponent: int) -> _Poly1d:
        return reduce(operator.mul, [self] * exponent, _Poly1d([1.0]))


def _coefficients(other: Any) -> Any:
    return other.c if isinstance(other, _Poly1d | np.poly1d) else np.atleast_1d(as_traced(other))


class _Rows:
    """`np.r_`."""

    def __getitem__(self, items: Any) -> Any:
        if find_traced(items if isinstance(items, tuple) else (items,)) is None:
            return np.r_[items]
        parts = items if isinstance(items, tuple) else (items,)
        if any(isinstance(part, str) for part in parts):
            refuse("`np.r_` with a text in it has no equivalent in a graph", "Write `np.concatenate`.")
        pieces = [
            np.r_[part] if isinstance(part, slice) else np.atleast_1d(as_traced(part)) for part in parts
        ]
        return np.concatenate(pieces)


class _Columns:
    """`np.c_`."""

    def __getitem__(self, items: Any) -> Any:
        if find_traced(items if isinstance(items, tuple) else (items,)) is None:
            return np.c_[items]
        parts = items if isinstance(items, tuple) else (items,)
        columns = []
        for part in parts:
            piece = np.atleast_1d(np.r_[part] if isinstance(part, slice) else as_traced(part))
            columns.append(piece[:, None] if np.ndim(shadow_of(piece)) == 1 else piece)
        return np.concatenate(columns, axis=-1)


def stand_ins() -> dict[Any, Any]:
    """Return the equivalents, by what they stand for."""
    pairs: dict[Any, Any] = {np.r_: _Rows(), np.c_: _Columns()}
    for kind, name in MODULES.items():
        module = getattr(np.polynomial, name)
        original = getattr(module, f"{kind}val")
        pairs[original] = _value(original, kind)
        pairs[getattr(module, CLASSES[kind])] = _class_or(getattr(module, CLASSES[kind]), kind)
    pairs[np.poly1d] = _poly1d_or
    return pairs


def _class_or(original: type, kind: str) -> Callable[..., Any]:
    def make(coef: Any, domain: Any = None, window: Any = None, **kwargs: Any) -> Any:
        if find_traced([coef, domain, window]) is None:
            return original(coef, domain, window, **kwargs)
        return _Series(kind, coef, domain, window)

    return make


def _poly1d_or(c_or_r: Any, r: bool = False, variable: Any = None) -> Any:
    if find_traced([c_or_r]) is None:
        return np.poly1d(c_or_r, r, variable)
    return _Poly1d(np.poly(c_or_r) if r else c_or_r)
