"""The ufuncs of `scipy.special`: value and gradient."""

import numpy as np
import pytest
import scipy.special as sp
from trace_checking import check

from classy_pm.likelihood.trace import coverage

RANDOM = np.random.default_rng(0)
U = RANDOM.uniform(0.2, 0.8, size=3)
W = RANDOM.uniform(1.2, 2.5, size=3)
DEFAULT = {1: [U], 2: [W, U], 3: [W, W + 1, U], 4: [W, W + 0.5, W + 1, U]}
# Arguments inside of the domain, where those above are not.
ARGUMENTS = {
    "betaincinv": [W, W, U],
    "betainccinv": [W, W, U],
    "binom": [W + 3, U],
    "btdtria": [U, W, U * 0.9],
    "btdtrib": [W, U, U * 0.9],
    "chdtriv": [U, W],
    "chndtr": [W, W, U],
    "chndtridf": [W, U, W],
    "chndtrinc": [W, W, U * 0.3],
    "chndtrix": [U, W, W],
    "erfcinv": [W - 0.5],
    "ellipj": [W, U],
    "exprel": [np.array([0.001, 1, -2.0])],
    "gdtria": [U, W, W],
    "gdtrib": [U, W, U],
    "fdtridfd": [W, U * 0.8, W],
    "huber": [U, np.array([0.1, 2, -3.0])],
    "hyp2f1": [U, W, W + 1, U],
    "log_wright_bessel": [W, W, U],
    "nbdtrik": [U, W + 3, U],
    "nbdtrin": [W, U, U],
    "nctdtridf": [U * 0.1, U * 0.4, W],
    "nctdtrinc": [W, U, W],
    "nctdtrit": [W, W, U],
    "ndtri_exp": [-W],
    "nrdtrimn": [U * 0.4, W, U],
    "nrdtrisd": [U, U * 0.4, W],
    "owens_t": [W, -W],
    "pdtrik": [U * 0.5, W + 2],
    "stdtridf": [0.5 + U * 0.45, W],
    "tklmbda": [U, U],
    "voigt_profile": [W, U, U * 2],
    "wright_bessel": [W, W, U],
    "bdtrik": [U, W + 5, U],
    "bdtrin": [W, U, U],
    "elliprj": [U, U * 2, U * 3, W],
    "spence": [W],
    "psi": [np.array([-2.3, 0.4, 11.0])],
}
# Whole numbers that come first.
WHOLE = {
    **dict.fromkeys(["kn", "yn", "expn"], (2,)),
    **dict.fromkeys(["bdtr", "bdtrc", "bdtri", "nbdtr", "nbdtrc", "nbdtri"], (2, 3)),
    **dict.fromkeys(["pdtr", "pdtrc", "pdtri", "smirnov", "smirnovi", "mathieu_a", "mathieu_b"], (2,)),
    **dict.fromkeys(["pro_cv", "obl_cv", "lpmv"], (1, 2)),
    **dict.fromkeys(
        [f"mathieu_{kind}" for kind in ("cem", "sem", "modcem1", "modcem2", "modsem1", "modsem2")], (2,)
    ),
    **dict.fromkeys(
        [
            f"{kind}_{part}{end}"
            for kind in ("pro", "obl")
            for part in ("ang1", "rad1", "rad2")
            for end in ("", "_cv")
        ],
        (1, 2),
    ),
}
COARSE = {"mathieu", "pro", "obl"}
UFUNCS = sorted(
    row.name
    for row in coverage()
    if row.module == "scipy.special"
    and row.kind == "ufunc"
    and row.state == "traced"
    and row.name != "obl_ang1_cv"
)


@pytest.mark.parametrize("name", UFUNCS)
def test_special_function_equals_scipy(name):
    function = getattr(sp, name)
    slope_rtol = 1e-4 if name.split("_")[0] in COARSE else 1e-5
    if name.startswith("eval_"):
        arguments = [0.9 * item for item in DEFAULT[function.nin][1:]]
        check(lambda *a: function(0, *a) + 0 * a[0], *arguments, slope_rtol=slope_rtol)
        check(lambda *a: function(3, *a), *arguments, slope_rtol=slope_rtol)
        return
    if name in WHOLE:
        whole = WHOLE[name]
        free = function.nin - len(whole)
        arguments = (
            [U]
            if free == 1
            else [U, U if "ang" in name else W]
            if free == 2
            else [U, W, U if "pro_ang" in name else W]
        )
        if name in ("pro_cv", "obl_cv", "mathieu_a", "mathieu_b"):
            arguments = [W]
        if name.startswith("mathieu_") and free == 2:
            arguments = [U, W]
        check(lambda *a: function(*whole, *a), *arguments, slope_rtol=slope_rtol)
        return
    check(function, *ARGUMENTS.get(name, DEFAULT[function.nin]), slope_rtol=slope_rtol, rtol=1e-11)


@pytest.mark.parametrize(
    "name",
    [
        "wofz",
        "loggamma",
        "gamma",
        "rgamma",
        "erf",
        "erfc",
        "erfi",
        "erfcx",
        "dawsn",
        "exp1",
        "expi",
        "expm1",
        "log1p",
        "spence",
        "wrightomega",
    ],
)
def test_special_function_of_complex_numbers_equals_scipy(name):
    check(getattr(sp, name), U + 1j * W, rtol=1e-11)


@pytest.mark.parametrize("name", ["jv", "yv", "iv", "kv", "hankel1", "hankel2", "hankel1e", "hankel2e"])
def test_bessel_function_of_complex_numbers_equals_scipy(name):
    function = getattr(sp, name)
    check(lambda z: function(1.5, z), U + 1j * W, rtol=1e-11)


def test_nearly_all_of_scipy_special_is_traced():
    rows = [row for row in coverage() if row.module == "scipy.special" and row.kind == "ufunc"]
    assert sum(row.state == "traced" for row in rows) >= 0.95 * len(rows)
