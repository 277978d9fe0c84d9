"""The parent of a population: its hyperparameters, its density, and what is refused."""

import numpy as np
import pytest
from scipy import stats

import classy_pm as cpm
from classy_pm.errors import ModelError
from classy_pm.study.parents import log_density, quantile, read_parent
from classy_pm.study.tails import log_tails

FAMILIES = [
    cpm.UniformPrior(-1.0, 3.0),
    cpm.LogUniformPrior(0.1, 3.0),
    cpm.GaussianPrior(1.0, 2.0),
    cpm.GaussianPrior(1.0, 2.0, lower_limit=0.0),
    cpm.GaussianPrior(1.0, 2.0, upper_limit=1.5),
    cpm.GaussianPrior(1.0, 2.0, lower_limit=-0.5, upper_limit=1.5),
    cpm.LogGaussianPrior(0.3, 0.7),
    cpm.HalfGaussianPrior(2.0),
    cpm.BetaPrior(2.0, 3.0),
    cpm.GammaPrior(2.0, 1.5),
    cpm.StudentTPrior(3.0, 0.5, 2.0),
]
SHARES = np.linspace(0.001, 0.999, 41)


@pytest.mark.parametrize("prior", FAMILIES, ids=repr)
def test_the_formulas_are_those_of_the_family(prior):
    x = np.linspace(-2.05, 3.95, 61)
    np.testing.assert_allclose(log_density(prior, x, prior.numbers()), prior.logpdf(x), rtol=1e-12)
    values = quantile(prior, SHARES, prior.numbers())
    np.testing.assert_allclose(values, prior.ppf(SHARES), rtol=1e-9, atol=1e-12)
    below, above = log_tails(prior, values, prior.numbers())
    np.testing.assert_allclose(np.exp(below), SHARES, rtol=1e-9)
    np.testing.assert_allclose(np.exp(above), 1.0 - SHARES, rtol=1e-9)


@pytest.mark.parametrize(
    ("prior", "exact", "faint", "bright"),
    [
        (cpm.GaussianPrior(1.0, 0.5), stats.norm(1.0, 0.5), -29.0, 31.0),
        (cpm.GaussianPrior(1.0, 0.5, -3.0, 9.0), stats.truncnorm(-8.0, 16.0, 1.0, 0.5), -2.999, 8.9),
        (cpm.GaussianPrior(1.0, 0.5, lower_limit=-3.0), stats.truncnorm(-8.0, np.inf, 1.0, 0.5), -2.9, 31.0),
        (cpm.GaussianPrior(1.0, 0.5, upper_limit=9.0), stats.truncnorm(-np.inf, 16.0, 1.0, 0.5), -29.0, 8.9),
        (cpm.LogGaussianPrior(1.0, 0.5), stats.lognorm(0.5, scale=np.e), 1e-10, 1e13),
        (cpm.HalfGaussianPrior(0.5), stats.halfnorm(scale=0.5), 1e-20, 18.0),
        (cpm.BetaPrior(30.0, 40.0), stats.beta(30.0, 40.0), 1e-8, 1.0 - 1e-6),
        (cpm.GammaPrior(30.0, 2.0), stats.gamma(30.0, scale=0.5), 1e-8, 300.0),
        (cpm.StudentTPrior(3.0, 1.0, 0.5), stats.t(3.0, 1.0, 0.5), -1e50, 1e50),
        (cpm.UniformPrior(0.0, 2.0), stats.uniform(0.0, 2.0), 1e-20, 3.0),
        (cpm.LogUniformPrior(1.0, 100.0), stats.loguniform(1.0, 100.0), 0.5, 1e3),
    ],
    ids=lambda item: repr(item) if hasattr(item, "family") else "",
)
def test_far_tails_are_known_relatively(prior, exact, faint, bright):
    below, above = log_tails(prior, np.array([faint, bright]), prior.numbers())
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(below, exact.logcdf([faint, bright]), rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(above, exact.logsf([faint, bright]), rtol=1e-9, atol=1e-15)


def test_hyperparameters_are_named_by_the_parameter_and_their_argument():
    parent = read_parent(
        ["lens.mass", "weights[1]"],
        {
            "lens.mass": cpm.GaussianPrior(cpm.UniformPrior(0.0, 1.0), cpm.HalfGaussianPrior(1.0)),
            "weights[1]": cpm.GammaPrior(2.0, cpm.GaussianPrior(cpm.UniformPrior(3.0, 4.0), 1.0)),
        },
    )
    assert parent.plan.names == ("lens.mass.mean", "lens.mass.sigma", "weights_1.beta.mean", "weights_1.beta")


def test_a_hyperparameter_in_two_parents_is_one():
    width = cpm.HalfGaussianPrior(1.0)
    parent = read_parent(["a", "b"], {"a": cpm.GaussianPrior(0.0, width), "b": cpm.GaussianPrior(1.0, width)})
    assert parent.plan.names == ("a.sigma",)
    (values,) = parent.draws(np.array([[2.0]]), np.full((2, 1), 0.5))
    np.testing.assert_allclose(values, [[0.0], [1.0]])


def test_a_parent_can_depend_on_another_parameter():
    mass = cpm.GaussianPrior(cpm.UniformPrior(0.0, 9.0), 1.0)
    slope = cpm.UniformPrior(-3.0, 3.0)
    parent = read_parent(["size", "mass"], {"size": cpm.GaussianPrior(1.0 + slope * mass, 0.5), "mass": mass})
    assert set(parent.plan.names) == {"size.mean.operand_1.operand_0", "mass.mean"}
    vector = np.array([{"mass.mean": 4.0}.get(name, 2.0) for name in parent.plan.names])
    size, of_mass = np.array([9.0, 10.0]), np.array([4.0, 4.5])
    expected = stats.norm.logpdf(size, 1.0 + 2.0 * of_mass, 0.5) + stats.norm.logpdf(of_mass, 4.0, 1.0)
    found = parent.log_density(parent.values_at(vector), [size, of_mass])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    unit = np.random.default_rng(1).random((2, 100_000))
    (drawn,) = parent.draws(vector[np.newaxis], unit)
    np.testing.assert_allclose(np.cov(drawn), [[4.25, 2.0], [2.0, 1.0]], rtol=0.03)


def test_all_that_is_wrong_is_told_at_once():
    shared = cpm.GaussianPrior(cpm.UniformPrior(0.0, 1.0), 1.0)
    pymc = pytest.importorskip("pymc")
    with pytest.raises(ModelError) as told:
        read_parent(
            ["a", "b", "c", "d", "e", "e"],
            {
                "a": shared,
                "b": shared,
                "c": cpm.Array(2, shared),
                "d": cpm.Prior(pymc.Normal, mu=shared.copy(), sigma=1.0),
                "other": shared,
            },
        )
    text = str(told.value)
    for fault in (
        "b: has the very parent object of another parameter",
        "c: the parent is an Array",
        "d: Prior(Normal",
        "e: is named twice",
        "e: has no parent",
        "other: has a parent, and is not among the parameters",
    ):
        assert fault in text


@pytest.mark.parametrize(
    ("parent", "text"),
    [
        (cpm.GaussianPrior(0.0, 1.0), "nothing to infer"),
        (3.0, "is no parent of a"),
        ({"a": 3.0}, "a: 3.0 is no prior"),
    ],
)
def test_what_is_no_parent_is_refused(parent, text):
    with pytest.raises(ModelError, match=text):
        read_parent("a", parent)


def test_a_prior_around_the_parameter_of_an_object_is_refused():
    mass = cpm.GaussianPrior(cpm.UniformPrior(0.0, 9.0), 1.0)
    size = cpm.GaussianPrior(cpm.GaussianPrior(mass, 1.0), 0.5)
    with pytest.raises(ModelError, match=r"size\.mean: is drawn from the parameter of an object"):
        read_parent(["size", "mass"], {"size": size, "mass": mass})
