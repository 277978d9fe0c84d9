"""`scipy.special`: each of its ufuncs, by PyTensor where it has code and gradient, else by our own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytensor.tensor as pt
import scipy.special as sp
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace import complexes
from classy_pm.likelihood.trace.array_ufuncs import COMPLEX_DERIVATIVES, array_function, complex_function
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.registry import UFUNCS, UfuncRule, refuse_ufunc
from classy_pm.likelihood.trace.special_derivatives import DERIVATIVES
from classy_pm.likelihood.trace.special_ops import STENCIL, WHOLE, scipy_op
from classy_pm.likelihood.trace.words import refuse

Variable = TensorVariable

# PyTensor's own, which its rewriting knows how to combine
OWN = {
    "erf": pt.erf,
    "erfc": pt.erfc,
    "erfcx": pt.erfcx,
    "erfinv": pt.erfinv,
    "erfcinv": pt.erfcinv,
    "gamma": pt.gamma,
    "gammaln": pt.gammaln,
    "expit": pt.sigmoid,
    "exp2": pt.exp2,
    "expm1": pt.expm1,
    "log1p": pt.log1p,
}


def _elementwise(name: str, nin: int, whole: list[int]) -> Callable[..., Variable]:
    operation = scipy_op(name, nin, DERIVATIVES.get(name))

    def build(*arguments: Variable) -> Variable:
        _refuse_traced_whole(name, arguments, whole)
        return operation(*arguments)

    return build


def _refuse_traced_whole(name: str, arguments: tuple[Variable, ...], whole: list[int]) -> None:
    for index in whole:
        if not isinstance(arguments[index], Constant) and "float" in arguments[index].type.dtype:
            refuse(
                f"argument {index + 1} of `scipy.special.{name}` is a whole number and depends on parameters",
                "Give it a plain number.",
            )


def _complex(name: str, nin: int) -> Callable[..., Pair]:
    def build(*arguments: Pair) -> Pair:
        *orders, z = arguments
        plain = []
        for order in orders:
            if not isinstance(order.real, Constant) or order.real.data.size != 1:
                refuse(f"the order of `scipy.special.{name}` of complex numbers must be one plain number")
            plain.append(float(order.real.data.reshape(())))
        return complex_function(name, z, *plain)

    return build


def _several(name: str, nin: int) -> Callable[..., tuple[Variable, ...]]:
    from classy_pm.likelihood.trace.array_ufuncs import ARRAY_DERIVATIVES

    table = ARRAY_DERIVATIVES.get(f"scipy.special.{name}")
    whole: list[int] = []
    if table is not None:
        ufunc = getattr(sp, name)
        variables = [pt.scalar(dtype="float64") for _ in range(nin + ufunc.nout)]
        whole = [n for n, slope in enumerate(table(*variables)) if isinstance(slope, str) and slope == WHOLE]

    def build(*arguments: Variable) -> tuple[Variable, ...]:
        _refuse_traced_whole(name, arguments, whole)
        return tuple(array_function(name, *arguments))

    return build


def _whole_arguments(name: str, nin: int) -> tuple[list[int], bool]:
    """Return which arguments are whole numbers, and whether a derivative is by differences."""
    import pytensor.scalar as ps

    derivative = DERIVATIVES.get(name)
    if derivative is None:
        return [], True
    slopes = derivative(*(ps.float64() for _ in range(nin + 1)))
    kinds = [slope if isinstance(slope, str) else "" for slope in slopes]
    return [n for n, kind in enumerate(kinds) if kind == WHOLE], STENCIL in kinds


def _bessel_of_third_kind(sign: float, scaled: bool) -> Callable[..., Pair]:
    name = "hankel1" if sign > 0 else "hankel2"

    def build(v: Pair, z: Pair) -> Pair:
        if z.imaginary is None:
            first, second = scipy_op("jv", 2)(v.real, z.real), scipy_op("yv", 2)(v.real, z.real)
            result = Pair(first, sign * second)
        else:
            result = _complex(name, 2)(v, z)
        if not scaled:
            return result
        turn = complexes.multiply(Pair(pt.zeros_like(z.real), -sign * pt.ones_like(z.real)), z)
        return complexes.multiply(result, complexes.exp(turn))

    return build


def voigt_profile(x: Variable, sigma: Variable, gamma: Variable) -> Variable:
    """Return the Voigt profile, from the Faddeeva function, whose derivative is known."""
    none = pt.eq(sigma, 0)
    safe = pt.switch(none, 1.0, sigma) * np.sqrt(2.0)
    profile = complex_function("wofz", Pair(x / safe, gamma / safe)).real / (safe * np.sqrt(np.pi))
    bare = gamma / (np.pi * (pt.sqr(x) + pt.sqr(gamma)))
    return pt.switch(none, bare, profile) if not _is_plain_positive(sigma) else profile


def _is_plain_positive(x: Variable) -> bool:
    return isinstance(x, Constant) and bool(np.all(x.data > 0))


def _kelvin_pairs(x: Pair) -> tuple[Pair, ...]:
    def of(first: str, second: str) -> Pair:
        return Pair(scipy_op(first, 1)(x.real), scipy_op(second, 1)(x.real))

    return of("ber", "bei"), of("ker", "kei"), of("berp", "beip"), of("kerp", "keip")


def _register() -> None:
    for name in dir(sp):
        ufunc = getattr(sp, name)
        if not isinstance(ufunc, np.ufunc) or ufunc in UFUNCS or name.startswith("eval_hermite"):
            continue
        name = ufunc.__name__  # some have two names
        path = f"scipy.special.{name}"
        pairs = _complex(name, ufunc.nin) if path in COMPLEX_DERIVATIVES else None
        if ufunc.nout > 1:
            UFUNCS[ufunc] = UfuncRule(_several(name, ufunc.nin))
            continue
        whole, differences = _whole_arguments(name, ufunc.nin)
        notes = []
        if whole:
            notes.append("whole numbers are plain")
        if differences:
            notes.append("some derivatives by differences")
        build = OWN.get(name) or _elementwise(name, ufunc.nin, whole)
        UFUNCS[ufunc] = UfuncRule(build, pairs, note=", ".join(notes))


_register()
UFUNCS[sp.voigt_profile] = UfuncRule(voigt_profile)
UFUNCS[sp.xlogy] = UfuncRule(
    lambda x, y: pt.switch(pt.and_(pt.eq(x, 0), pt.invert(pt.isnan(y))), 0.0, x * pt.log(y))
)
UFUNCS[sp.xlog1py] = UfuncRule(
    lambda x, y: pt.switch(pt.and_(pt.eq(x, 0), pt.invert(pt.isnan(y))), 0.0, x * pt.log1p(y))
)
UFUNCS[sp.kelvin] = UfuncRule(_kelvin_pairs, _kelvin_pairs)


def _hermite(factor: float) -> Callable[..., Variable]:
    """Return Hermite's polynomials by their recurrence; SciPy has them for whole numbers only."""

    def build(n: Variable, x: Variable) -> Variable:
        if not isinstance(n, Constant) or n.data.size != 1 or n.data.min() < 0:
            refuse("the degree of a Hermite polynomial must be one plain number")
        before, value = pt.zeros_like(x), pt.ones_like(x)
        for k in range(int(n.data.reshape(()))):
            before, value = value, factor * (x * value - k * before)
        return value

    return build


UFUNCS[sp.eval_hermite] = UfuncRule(_hermite(2.0), note="whole numbers are plain")
UFUNCS[sp.eval_hermitenorm] = UfuncRule(_hermite(1.0), note="whole numbers are plain")
for _ufunc, _sign, _scaled in [
    (sp.hankel1, 1.0, False),
    (sp.hankel1e, 1.0, True),
    (sp.hankel2, -1.0, False),
    (sp.hankel2e, -1.0, True),
]:
    UFUNCS[_ufunc] = UfuncRule(_bessel_of_third_kind(_sign, _scaled), _bessel_of_third_kind(_sign, _scaled))
for _name in ("gdtrib", "ncfdtrinc", "ncfdtridfn", "ncfdtridfd"):
    refuse_ufunc(getattr(sp, _name), "SciPy finds it by iterations too coarse for a derivative")
for _name in ("modfresnelm", "modfresnelp"):
    refuse_ufunc(getattr(sp, _name), "its results are complex and PyTensor has no derivative of them")
