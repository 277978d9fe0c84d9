"""Derivatives of the functions of `scipy.special`.

Each entry gives, for the arguments and the value of a function, its derivative by each argument. The
formulas are those of the NIST Digital Library of Mathematical Functions (dlmf.nist.gov). `STENCIL`
stands for central differences of fourth order, good to about ten digits, where there is no formula;
`WHOLE` for an argument that only whole numbers make sense of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.scalar as ps

from classy_pm.likelihood.trace.special_ops import STENCIL, WHOLE, UfuncOp

PI = np.pi
ROOT_PI = np.sqrt(np.pi)


def f(name: str, *arguments: Any) -> Any:
    """Return a function of `scipy.special` of scalars."""
    return UfuncOp(f"scipy.special.{name}", len(arguments))(*arguments)


def _normal(x: Any) -> Any:
    return ps.exp(-0.5 * x * x) * (1.0 / np.sqrt(2.0 * PI))


def _gamma_density(a: Any, x: Any) -> Any:
    return ps.exp((a - 1.0) * ps.log(x) - x - f("gammaln", a))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return ps.exp((a - 1.0) * ps.log(x) + (b - 1.0) * ps.log1p(-x) - f("betaln", a, b))


def _t_density(v: Any, t: Any) -> Any:
    return ps.exp(
        -0.5 * (v + 1.0) * ps.log1p(t * t / v) - 0.5 * ps.log(v) - f("betaln", 0.5 * v, v * 0.0 + 0.5)
    )


def _f_density(n: Any, d: Any, x: Any) -> Any:
    share = n * x / (n * x + d)
    return _beta_density(0.5 * n, 0.5 * d, share) * n * d / ((n * x + d) * (n * x + d))


def _degrees(x: Any) -> Any:
    return x * (PI / 180.0)


def _choose(condition: Any, a: Any, b: Any) -> Any:
    return ps.switch(condition, a, b)


def _like_bessel(name: str, sign: float) -> Callable[..., Any]:
    return lambda v, x, o: [STENCIL, 0.5 * (f(name, v - 1.0, x) + sign * f(name, v + 1.0, x))]


DERIVATIVES: dict[str, Callable[..., Any]] = {
    # errors and normal distributions
    "erf": lambda x, o: [2.0 / ROOT_PI * ps.exp(-x * x)],
    "erfc": lambda x, o: [-2.0 / ROOT_PI * ps.exp(-x * x)],
    "erfcx": lambda x, o: [2.0 * x * o - 2.0 / ROOT_PI],
    "erfi": lambda x, o: [2.0 / ROOT_PI * ps.exp(x * x)],
    "erfinv": lambda x, o: [ROOT_PI / 2.0 * ps.exp(o * o)],
    "erfcinv": lambda x, o: [-ROOT_PI / 2.0 * ps.exp(o * o)],
    "dawsn": lambda x, o: [1.0 - 2.0 * x * o],
    "ndtr": lambda x, o: [_normal(x)],
    "ndtri": lambda x, o: [1.0 / _normal(o)],
    "ndtri_exp": lambda y, o: [ps.exp(y + 0.5 * o * o) * np.sqrt(2.0 * PI)],
    "log_ndtr": lambda x, o: [ps.exp(-0.5 * x * x - o) * (1.0 / np.sqrt(2.0 * PI))],
    "owens_t": lambda h, a, o: [
        -h * 0.0 - _normal(h) * 0.5 * f("erf", a * h * (1.0 / np.sqrt(2.0))),
        ps.exp(-0.5 * h * h * (1.0 + a * a)) / (2.0 * PI * (1.0 + a * a)),
    ],
    # exponentials and logarithms
    "cbrt": lambda x, o: [1.0 / (3.0 * o * o)],
    "exp2": lambda x, o: [np.log(2.0) * o],
    "exp10": lambda x, o: [np.log(10.0) * o],
    "expm1": lambda x, o: [o + 1.0],
    "log1p": lambda x, o: [1.0 / (1.0 + x)],
    "exprel": lambda x, o: [
        _choose(
            ps.lt(ps.abs(x), 1e-2),
            0.5 + x * (1 / 3 + x * (1 / 8 + x * (1 / 30 + x * (1 / 144 + x / 840)))),
            (ps.exp(x) - o) / _choose(ps.eq(x, 0.0), 1.0, x),
        )
    ],
    "expit": lambda x, o: [o * f("expit", -x)],
    "logit": lambda x, o: [1.0 / (x * (1.0 - x))],
    "log_expit": lambda x, o: [f("expit", -x)],
    "entr": lambda x, o: [-ps.log(x) - 1.0],
    "rel_entr": lambda x, y, o: [ps.log(x / y) + 1.0, -x / y],
    "kl_div": lambda x, y, o: [ps.log(x / y), 1.0 - x / y],
    "xlogy": lambda x, y, o: [ps.log(y), x / y],
    "xlog1py": lambda x, y, o: [ps.log1p(y), x / (1.0 + y)],
    "boxcox": lambda x, k, o: [x ** (k - 1.0), STENCIL],
    "boxcox1p": lambda x, k, o: [(1.0 + x) ** (k - 1.0), STENCIL],
    "inv_boxcox": lambda y, k, o: [o ** (1.0 - k), STENCIL],
    "inv_boxcox1p": lambda y, k, o: [(1.0 + o) ** (1.0 - k), STENCIL],
    "powm1": lambda x, y, o: [y * (o + 1.0) / x, ps.log(x) * (o + 1.0)],
    "cosm1": lambda x, o: [-ps.sin(x)],
    "sindg": lambda x, o: [PI / 180.0 * ps.cos(_degrees(x))],
    "cosdg": lambda x, o: [-PI / 180.0 * ps.sin(_degrees(x))],
    "tandg": lambda x, o: [PI / 180.0 * (1.0 + o * o)],
    "cotdg": lambda x, o: [-PI / 180.0 * (1.0 + o * o)],
    "radian": lambda d, m, s, o: [d * 0.0 + PI / 180.0, d * 0.0 + PI / 10800.0, d * 0.0 + PI / 648000.0],
    "huber": lambda d, r, o: [
        _choose(ps.gt(ps.abs(r), d), ps.abs(r) - d, 0.0 * r),
        _choose(ps.gt(ps.abs(r), d), d * ps.sign(r), r),
    ],
    "pseudo_huber": lambda d, r, o: [
        2.0 * d * (ps.sqrt(1.0 + (r / d) * (r / d)) - 1.0) - r * r / (d * ps.sqrt(1.0 + (r / d) * (r / d))),
        r / ps.sqrt(1.0 + (r / d) * (r / d)),
    ],
    "round": lambda x, o: [0.0 * x],
    # gamma and beta functions
    "gamma": lambda x, o: [o * f("psi", x)],
    "gammaln": lambda x, o: [f("psi", x)],
    "loggamma": lambda x, o: [f("psi", x)],
    "rgamma": lambda x, o: [-o * f("psi", x)],
    "gammasgn": lambda x, o: [0.0 * x],
    "psi": lambda x, o: [_trigamma(x)],
    "digamma": lambda x, o: [_trigamma(x)],
    "poch": lambda z, m, o: [o * (f("psi", z + m) - f("psi", z)), o * f("psi", z + m)],
    "beta": lambda a, b, o: [o * (f("psi", a) - f("psi", a + b)), o * (f("psi", b) - f("psi", a + b))],
    "betaln": lambda a, b, o: [f("psi", a) - f("psi", a + b), f("psi", b) - f("psi", a + b)],
    "binom": lambda n, k, o: [
        o * (f("psi", n + 1.0) - f("psi", n - k + 1.0)),
        o * (f("psi", n - k + 1.0) - f("psi", k + 1.0)),
    ],
    "gammainc": lambda a, x, o: [STENCIL, _gamma_density(a, x)],
    "gammaincc": lambda a, x, o: [STENCIL, -_gamma_density(a, x)],
    "gammaincinv": lambda a, y, o: [STENCIL, 1.0 / _gamma_density(a, o)],
    "gammainccinv": lambda a, y, o: [STENCIL, -1.0 / _gamma_density(a, o)],
    "betainc": lambda a, b, x, o: [STENCIL, STENCIL, _beta_density(a, b, x)],
    "betaincc": lambda a, b, x, o: [STENCIL, STENCIL, -_beta_density(a, b, x)],
    "betaincinv": lambda a, b, y, o: [STENCIL, STENCIL, 1.0 / _beta_density(a, b, o)],
    "betainccinv": lambda a, b, y, o: [STENCIL, STENCIL, -1.0 / _beta_density(a, b, o)],
    # distributions
    "chdtr": lambda v, x, o: [STENCIL, 0.5 * _gamma_density(0.5 * v, 0.5 * x)],
    "chdtrc": lambda v, x, o: [STENCIL, -0.5 * _gamma_density(0.5 * v, 0.5 * x)],
    "gdtr": lambda a, b, x, o: [x * _gamma_density(b, a * x), STENCIL, a * _gamma_density(b, a * x)],
    "gdtrc": lambda a, b, x, o: [-x * _gamma_density(b, a * x), STENCIL, -a * _gamma_density(b, a * x)],
    "stdtr": lambda v, t, o: [STENCIL, _t_density(v, t)],
    "stdtrit": lambda v, p, o: [STENCIL, 1.0 / _t_density(v, o)],
    "fdtr": lambda n, d, x, o: [STENCIL, STENCIL, _f_density(n, d, x)],
    "fdtrc": lambda n, d, x, o: [STENCIL, STENCIL, -_f_density(n, d, x)],
    "fdtri": lambda n, d, p, o: [STENCIL, STENCIL, 1.0 / _f_density(n, d, o)],
    # elliptic integrals
    "ellipk": lambda m, o: [(o - f("elliprd", 0.0 * m, 1.0 - m, 0.0 * m + 1.0) / 3.0) / (2.0 * (1.0 - m))],
    "ellipkm1": lambda p, o: [-(o - f("elliprd", 0.0 * p, p, 0.0 * p + 1.0) / 3.0) / (2.0 * p)],
    "ellipe": lambda m, o: [-f("elliprd", 0.0 * m, 1.0 - m, 0.0 * m + 1.0) / 6.0],
    "ellipkinc": lambda u, m, o: [1.0 / ps.sqrt(1.0 - m * ps.sqr(ps.sin(u))), STENCIL],
    "ellipeinc": lambda u, m, o: [ps.sqrt(1.0 - m * ps.sqr(ps.sin(u))), STENCIL],
    "elliprf": lambda x, y, z, o: [
        -f("elliprd", y, z, x) / 6.0,
        -f("elliprd", x, z, y) / 6.0,
        -f("elliprd", x, y, z) / 6.0,
    ],
    # Bessel functions
    "j0": lambda x, o: [-f("j1", x)],
    "j1": lambda x, o: [0.5 * (f("j0", x) - f("jv", 0.0 * x + 2.0, x))],
    "y0": lambda x, o: [-f("y1", x)],
    "y1": lambda x, o: [f("y0", x) - o / x],
    "jv": _like_bessel("jv", -1.0),
    "jn": _like_bessel("jv", -1.0),
    "jve": _like_bessel("jve", -1.0),
    "yv": _like_bessel("yv", -1.0),
    "yve": _like_bessel("yve", -1.0),
    "yn": lambda n, x, o: [WHOLE, 0.5 * (f("yv", n - 1.0, x) - f("yv", n + 1.0, x))],
    "i0": lambda x, o: [f("i1", x)],
    "i0e": lambda x, o: [f("i1e", x) - ps.sign(x) * o],
    "i1": lambda x, o: [0.5 * (f("i0", x) + f("iv", 0.0 * x + 2.0, x))],
    "i1e": lambda x, o: [0.5 * (f("i0e", x) + f("ive", 0.0 * x + 2.0, x)) - ps.sign(x) * o],
    "iv": _like_bessel("iv", 1.0),
    "ive": lambda v, x, o: [STENCIL, 0.5 * (f("ive", v - 1.0, x) + f("ive", v + 1.0, x)) - ps.sign(x) * o],
    "k0": lambda x, o: [-f("k1", x)],
    "k0e": lambda x, o: [o - f("k1e", x)],
    "k1": lambda x, o: [-f("k0", x) - o / x],
    "k1e": lambda x, o: [o - f("k0e", x) - o / x],
    "kn": lambda n, x, o: [WHOLE, -0.5 * (f("kv", n - 1.0, x) + f("kv", n + 1.0, x))],
    "kv": lambda v, x, o: [STENCIL, -0.5 * (f("kv", v - 1.0, x) + f("kv", v + 1.0, x))],
    "kve": lambda v, x, o: [STENCIL, o - 0.5 * (f("kve", v - 1.0, x) + f("kve", v + 1.0, x))],
    "struve": lambda v, x, o: [STENCIL, f("struve", v - 1.0, x) - v / x * o],
    "modstruve": lambda v, x, o: [STENCIL, f("modstruve", v - 1.0, x) - v / x * o],
    "itstruve0": lambda x, o: [f("struve", 0.0 * x, x)],
    "it2struve0": lambda x, o: [-f("struve", 0.0 * x, x) / x],
    "itmodstruve0": lambda x, o: [f("modstruve", 0.0 * x, x)],
    "ber": lambda x, o: [f("berp", x)],
    "bei": lambda x, o: [f("beip", x)],
    "ker": lambda x, o: [f("kerp", x)],
    "kei": lambda x, o: [f("keip", x)],
    # hypergeometric functions and integrals
    "hyp0f1": lambda v, z, o: [STENCIL, f("hyp0f1", v + 1.0, z) / v],
    "hyp1f1": lambda a, b, z, o: [STENCIL, STENCIL, a / b * f("hyp1f1", a + 1.0, b + 1.0, z)],
    "hyperu": lambda a, b, x, o: [STENCIL, STENCIL, -a * f("hyperu", a + 1.0, b + 1.0, x)],
    "hyp2f1": lambda a, b, c, z, o: [
        STENCIL,
        STENCIL,
        STENCIL,
        a * b / c * f("hyp2f1", a + 1.0, b + 1.0, c + 1.0, z),
    ],
    "exp1": lambda x, o: [-ps.exp(-x) / x],
    "expi": lambda x, o: [ps.exp(x) / x],
    "expn": lambda n, x, o: [
        WHOLE,
        _choose(ps.ge(n, 1), -f("expn", ps.maximum(n - 1, 0), x), -ps.exp(-x) / x * (1.0 + 1.0 / x)),
    ],
    "spence": lambda x, o: [
        _choose(ps.eq(x, 1.0), x * 0.0 - 1.0, ps.log(x) / _choose(ps.eq(x, 1.0), 1.0, 1.0 - x))
    ],
    "wrightomega": lambda x, o: [o / (1.0 + o)],
    "wright_bessel": lambda a, b, x, o: [STENCIL, STENCIL, f("wright_bessel", a, a + b, x)],
    # orthogonal polynomials
    "eval_legendre": lambda n, x, o: [WHOLE, 0.5 * (n + 1.0) * _jacobi(n - 1.0, 1.0, 1.0, x)],
    "eval_sh_legendre": lambda n, x, o: [WHOLE, (n + 1.0) * _jacobi(n - 1.0, 1.0, 1.0, 2.0 * x - 1.0)],
    "eval_jacobi": lambda n, a, b, x, o: [
        WHOLE,
        STENCIL,
        STENCIL,
        0.5 * (n + a + b + 1.0) * _choose(ps.gt(n, 0), f("eval_jacobi", n - 1.0, a + 1.0, b + 1.0, x), 0.0),
    ],
    "eval_chebyt": lambda n, x, o: [WHOLE, n * f("eval_chebyu", n - 1.0, x)],
    "eval_chebyc": lambda n, x, o: [WHOLE, n * f("eval_chebyu", n - 1.0, 0.5 * x)],
    "eval_sh_chebyt": lambda n, x, o: [WHOLE, 2.0 * n * f("eval_chebyu", n - 1.0, 2.0 * x - 1.0)],
    "eval_chebyu": lambda n, x, o: [WHOLE, 2.0 * _gegenbauer(n, x)],
    "eval_chebys": lambda n, x, o: [WHOLE, _gegenbauer(n, 0.5 * x)],
    "eval_sh_chebyu": lambda n, x, o: [WHOLE, 4.0 * _gegenbauer(n, 2.0 * x - 1.0)],
    "eval_gegenbauer": lambda n, a, x, o: [
        WHOLE,
        STENCIL,
        2.0 * a * _choose(ps.gt(n, 0), f("eval_gegenbauer", n - 1.0, a + 1.0, x), 0.0),
    ],
    "eval_laguerre": lambda n, x, o: [
        WHOLE,
        _choose(ps.gt(n, 0), -f("eval_genlaguerre", n - 1.0, 0.0 * x + 1.0, x), 0.0),
    ],
    "eval_genlaguerre": lambda n, a, x, o: [
        WHOLE,
        STENCIL,
        _choose(ps.gt(n, 0), -f("eval_genlaguerre", n - 1.0, a + 1.0, x), 0.0),
    ],
    "eval_sh_jacobi": lambda n, p, q, x, o: [WHOLE, STENCIL, STENCIL, STENCIL],
    "lpmv": lambda m, v, x, o: [WHOLE, WHOLE, STENCIL],
    "mathieu_a": lambda m, q, o: [WHOLE, STENCIL],
    "mathieu_b": lambda m, q, o: [WHOLE, STENCIL],
    "pro_cv": lambda m, n, c, o: [WHOLE, WHOLE, STENCIL],
    "obl_cv": lambda m, n, c, o: [WHOLE, WHOLE, STENCIL],
    "bdtr": lambda k, n, p, o: [WHOLE, WHOLE, STENCIL],
    "bdtrc": lambda k, n, p, o: [WHOLE, WHOLE, STENCIL],
    "bdtri": lambda k, n, y, o: [WHOLE, WHOLE, STENCIL],
    "nbdtr": lambda k, n, p, o: [WHOLE, WHOLE, STENCIL],
    "nbdtrc": lambda k, n, p, o: [WHOLE, WHOLE, STENCIL],
    "nbdtri": lambda k, n, y, o: [WHOLE, WHOLE, STENCIL],
    "pdtr": lambda k, m, o: [WHOLE, STENCIL],
    "pdtrc": lambda k, m, o: [WHOLE, STENCIL],
    "pdtri": lambda k, y, o: [WHOLE, STENCIL],
    "smirnov": lambda n, d, o: [WHOLE, STENCIL],
    "smirnovi": lambda n, p, o: [WHOLE, STENCIL],
}


def _trigamma(x: Any) -> Any:
    """Return the derivative of psi: shifted upwards, then Stirling's series (DLMF 5.15)."""
    mirrored = ps.lt(x, 0.0)
    y = _choose(mirrored, 1.0 - x, x)
    total: Any = 0.0
    for step in range(8):
        total = total + 1.0 / ((y + float(step)) * (y + float(step)))
    z = 1.0 / (y + 8.0)
    square = z * z
    series: Any = 7 / 6
    for number in (-691 / 2730, 5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6):
        series = series * square + number
    total = total + z + 0.5 * square + series * square * z
    turn = PI / ps.sin(PI * _choose(mirrored, x, 0.5 + 0.0 * x))
    return _choose(mirrored, turn * turn - total, total)


def _jacobi(n: Any, a: float, b: float, x: Any) -> Any:
    return _choose(ps.ge(n, 0), f("eval_jacobi", n, 0.0 * x + a, 0.0 * x + b, x), 0.0)


def _gegenbauer(n: Any, x: Any) -> Any:
    return _choose(ps.gt(n, 0), f("eval_gegenbauer", n - 1.0, 0.0 * x + 2.0, x), 0.0)
