"""SciPy's functions that read plain arrays, and arrays that the function makes, in users' code."""

import numpy as np
import pytest

# The names are used in the expressions below, which are text.
import scipy.integrate
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.spatial.distance
import scipy.special
import scipy.stats  # noqa: F401
from scipy import stats
from scipy.special import logsumexp  # noqa: F401
from scipy.stats import norm  # noqa: F401
from trace_checking import check, traced_graph

from classy_pm.errors import TraceError

X = np.linspace(-1, 1, 11)
D = np.random.default_rng(0).normal(size=11)
P, Q = np.float64(1.2), np.float64(0.7)

DENSITIES = {
    "norm": (),
    "uniform": (),
    "expon": (),
    "cauchy": (),
    "laplace": (),
    "logistic": (),
    "halfnorm": (),
    "halfcauchy": (),
    "rayleigh": (),
    "maxwell": (),
    "gumbel_r": (),
    "gumbel_l": (),
    "gamma": (2.3,),
    "beta": (2.3, 1.7),
    "t": (3.4,),
    "lognorm": (0.8,),
    "chi2": (3.0,),
    "f": (5.0, 7.0),
    "invgamma": (2.5,),
    "weibull_min": (1.7,),
    "pareto": (2.6,),
    "skewnorm": (1.5,),
    "genpareto": (0.3,),
    "genextreme": (-0.2,),
    "exponnorm": (1.4,),
    "gengamma": (2.0, 1.3),
    "fisk": (2.2,),
    "truncnorm": (-0.5, 1.8),
    "triang": (0.4,),
    "vonmises": (2.0,),
    "powerlaw": (1.6,),
    "lomax": (2.4,),
    "nakagami": (1.9,),
    "rice": (0.9,),
    "loguniform": (0.1, 2.0),
    "gennorm": (1.3,),
    "invgauss": (0.8,),
    "levy": (),
    "moyal": (),
    "johnsonsu": (0.4, 1.5),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_log_density_of_a_distribution(name):
    shapes = [np.float64(value) for value in DENSITIES[name]]
    places = getattr(stats, name).ppf([0.2, 0.45, 0.8], *shapes) * 1.3 + 0.2
    function = eval(
        f"lambda x, loc, scale, *args: stats.{name}.logpdf(x, *args, loc=loc, scale=scale)", globals()
    )
    arguments = [places, np.float64(0.2), np.float64(1.3), *shapes]
    check(function, *arguments, other=arguments, rtol=1e-10, slope_rtol=1e-5)


@pytest.mark.parametrize(
    "expression",
    [
        "norm.pdf(D, a, b)",
        "norm(a, b).logpdf(D)",
        "stats.norm(loc=a).cdf(D)",
        "scipy.stats.norm.logcdf(D, a, b)",
        "stats.norm.sf(D, a, b)",
        "stats.expon.cdf(X, 0, b)",
        "stats.gamma.cdf(np.abs(D), a, scale=b)",
        "stats.beta.cdf(0.3, a, b)",
        "np.isnan(stats.norm.logpdf(D, a, -b))",
        "stats.uniform.logpdf(0.1 * X, -b, a)",
        "stats.poisson.logpmf([0, 1, 3], a)",
        "stats.poisson.pmf([0, 1.5, -1], a)",
        "stats.binom.logpmf(2, 5, b)",
        "stats.nbinom.logpmf([1, 2], a, b)",
        "stats.geom.logpmf([1, 4], b)",
        "stats.multivariate_normal.logpdf(D[:3], np.array([a, b, 0]), np.eye(3) * b + 0.1)",
        "stats.multivariate_normal(np.zeros(3), np.eye(3) * b).logpdf(D[:9].reshape(3, 3))",
        "logsumexp([norm.logpdf(D, a, 1), norm.logpdf(D, -a, b)], axis=0)",
        "scipy.special.logsumexp(a * D, b=X**2)",
        "scipy.special.softmax(a * D)",
        "scipy.special.log_softmax(a * np.outer(D, X), axis=1)",
        "scipy.special.factorial(a)",
        "scipy.special.comb(5 + a, b)",
        "scipy.special.spherical_jn(1, a + X**2)",
        "scipy.linalg.cho_solve(scipy.linalg.cho_factor(np.eye(3) * a + b), D[:3])",
        "scipy.linalg.cho_solve(scipy.linalg.cho_factor(np.eye(3) * a + b, lower=True), D[:3])",
        "scipy.linalg.solve_triangular(np.eye(3) * a + b, D[:3], lower=True)",
        "scipy.linalg.solve_triangular(np.eye(3) * a + b, D[:3], trans=1)",
        "scipy.linalg.cholesky(np.eye(3) * a + b)",
        "scipy.linalg.solve(np.eye(3) * a + b, D[:3], assume_a='pos')",
        "scipy.linalg.toeplitz(a * D[:3])",
        "scipy.linalg.block_diag([[a, b]], [[1.0]])",
        "scipy.signal.convolve2d(a * np.outer(X, X), np.outer(D, D), mode='same')",
        "scipy.signal.fftconvolve(a * X, D, mode='same')",
        "scipy.signal.convolve(a * X, D[:4], mode='valid')",
        "scipy.ndimage.gaussian_filter(a * np.outer(X, D) ** 2, (1.2, 0.7))",
        "scipy.ndimage.gaussian_filter1d(b * np.outer(X, D), 1.2, axis=0)",
        "scipy.ndimage.uniform_filter(a * np.outer(X, D), 3)",
        "scipy.ndimage.map_coordinates(a * np.outer(X, D), [[1.5, 2.0], [b, 3.3]], order=1)",
        "scipy.integrate.simpson(np.exp(-a * X**2), x=X)",
        "scipy.integrate.trapezoid(b * X**2, X)",
        "scipy.integrate.cumulative_trapezoid(b * X**2, X, initial=0)",
    ],
)
def test_scipy_function_equals_scipy(expression):
    check(eval(f"lambda a, b: {expression}", globals()), P, Q, rtol=1e-9, atol=1e-11)


def zeros_filled_one_by_one(a, b):
    model = np.zeros(len(X))
    for place in range(len(X)):
        model[place] = a * X[place] + b
    return model


def zeros_added_to(a, b):
    model = np.zeros_like(X)
    for power in range(3):
        model += a * np.exp(-power * b * X)
    return model


def a_matrix_filled_in_two_loops(a, b):
    matrix = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            matrix[i, j] = np.exp(-abs(i - j) * a) + (b if i == j else 0)
    return matrix


def a_part_of_a_plain_array(a, b):
    x = np.copy(X)
    x[x > 0.5] = a
    return x * np.ones(11)


def a_plain_array_and_a_mask(a, b):
    t = np.linspace(-1, 1, 11)
    return np.sum(t[t > a - 1] ** 2 * b)


@pytest.mark.parametrize(
    "function",
    [
        zeros_filled_one_by_one,
        zeros_added_to,
        a_matrix_filled_in_two_loops,
        a_part_of_a_plain_array,
        a_plain_array_and_a_mask,
    ],
)
def test_arrays_made_in_the_function_take_traced_values(function):
    check(function, P, Q)


def test_an_array_from_outside_does_not_take_traced_values():
    outside = np.zeros(3)

    def function(a):
        outside[0] = a
        return outside.sum()

    with pytest.raises(TraceError, match="written into a plain array"):
        traced_graph(function, [P])
    np.testing.assert_array_equal(outside, 0.0)


def test_a_plain_array_from_outside_and_a_traced_mask_are_refused_in_words():
    with pytest.raises(TraceError, match="indexed by a mask that depends on parameters"):
        traced_graph(lambda a: np.sum(X[a < X]), [P])


M = np.array([[2.0, 0.3, 0.1], [0.4, 1.5, 0.2], [0.1, 0.3, 1.8]])


@pytest.mark.parametrize(
    "expression",
    [
        "scipy.linalg.expm(a * 0.5)",
        "scipy.linalg.lstsq(a, D[:3])[0]",
        "scipy.linalg.eigh(a + a.T)[0] + scipy.linalg.eigvalsh(a + a.T)",
        "scipy.linalg.eigh(a + a.T, eigvals_only=True)",
        "scipy.linalg.lu_solve(scipy.linalg.lu_factor(a), D[:3])",
        "scipy.linalg.lu_solve(scipy.linalg.lu_factor(np.eye(3) + 0.1), a)",
        "scipy.linalg.solve_banded((1, 1), a + np.array([[0], [2], [0]]), D[:3])",
        "scipy.linalg.pinv(a[:, :2]) + scipy.linalg.circulant(a[0])[:2]",
        "scipy.spatial.distance.cdist(a, 2 * a) + scipy.spatial.distance.cdist(a, 2 * a, 'sqeuclidean')",
        "scipy.spatial.distance.pdist(a) + scipy.spatial.distance.pdist(a, 'cityblock')",
        "scipy.ndimage.convolve(a, np.arange(9.0).reshape(3, 3))",
        "scipy.ndimage.correlate(a, np.arange(3.0).reshape(1, 3), mode='wrap')",
        "scipy.ndimage.convolve(a, np.ones((3, 1)), mode='constant', cval=1.5)",
        "scipy.signal.correlate(a, np.arange(4.0).reshape(2, 2), mode='same')",
        "scipy.signal.lfilter([0.2, 0.1], [1.0, -0.7], a) + scipy.signal.lfilter([1], [1, -0.7], a, axis=0)",
        "scipy.signal.sosfilt(scipy.signal.butter(2, 0.3, output='sos'), a)",
        "scipy.signal.savgol_filter(a, 3, 1) + scipy.signal.detrend(a)",
    ],
)
def test_more_functions_of_matrices(expression):
    check(eval(f"lambda a: {expression}"), M, rtol=1e-9)


@pytest.mark.parametrize(
    "expression",
    [
        "stats.norm.ppf(0.3, p, q) + stats.norm(p, q).isf(0.2) + stats.expon(scale=p).ppf(q)",
        "stats.multinomial.logpmf([3, 4, 5], 12, [p / 4, q / 3, 1 - p / 4 - q / 3])",
        "stats.multinomial(12, [p / 4, q / 3, 1 - p / 4 - q / 3]).pmf(np.array([3, 4, 5]))",
        "stats.dirichlet.logpdf([0.2, 0.3, 0.5], [p, q, 1.5])",
        "stats.dirichlet.logpdf([p / 4, q / 3], [1.2, 2.5, 1.5])",
        "stats.multivariate_t.logpdf(np.outer(D, [1, p]), [q, 0], np.array([[p, 0.2], [0.2, 1]]), df=q * 5)",
    ],
)
def test_more_distributions(expression):
    check(eval(f"lambda p, q: {expression}"), P, Q, rtol=1e-9)


@pytest.mark.parametrize(
    "expression",
    ["stats.norm(p, q).mean()", "stats.norm(p, q).rvs(3)", "stats.multivariate_normal([p, q]).rvs()"],
)
def test_what_a_frozen_distribution_does_not_know_is_refused(expression):
    with pytest.raises(TraceError, match="of traced arguments has no equivalent"):
        traced_graph(eval(f"lambda p, q: {expression}"), [P, Q])


@pytest.mark.parametrize(
    "expression",
    [
        "np.poly1d([p, q, 1.0]) * np.poly1d([p, 2.0]) + 2",
        "1 - np.poly1d([p, q]) ** 2 / 3",
        "(np.polynomial.Polynomial([p, q]) * 2 - np.polynomial.Polynomial([1.0, 2.0])) ** 2",
        "np.polynomial.Polynomial([p, q, 1.0]).deriv().integ() * np.polynomial.Polynomial([q])",
        "np.polynomial.Chebyshev([p, q, 1.0], domain=[0, 3]) + np.polynomial.Chebyshev([q], domain=[0, 3])",
    ],
)
def test_arithmetic_of_polynomials(expression):
    check(eval(f"lambda p, q: ({expression})(X)"), P, Q, rtol=1e-12)
