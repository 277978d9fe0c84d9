"""Shares of centring: the posterior is the same for each, and compiled functions follow them."""

import pickle

import numpy as np
import pytensor
import pytest

import classy_pm as cpm
from classy_pm.graph.build import build_model
from classy_pm.graph.centring import Centring
from classy_pm.graph.density import Density
from classy_pm.likelihood import check_analysis
from classy_pm.likelihood.symbolic import make_symbolic
from classy_pm.plan import make_plan
from classy_pm.search.nutpie_native import compile_natively

NAMES = ("first", "second", "third")


class Members:
    def __init__(self, first, second, third):
        self.values = first, second, third


class Analysis(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return sum(-0.5 * (value - 1.0) ** 2 for value in instance.values)


def mean():
    return cpm.GaussianPrior(1.0, 2.0)


def scale():
    return cpm.HalfGaussianPrior(2.0)


def below(mean, sigma):
    return cpm.GaussianPrior(mean, sigma, upper_limit=5.0)


def above(mean, sigma):
    return cpm.GaussianPrior(mean, sigma, lower_limit=-0.5)


PARENTS = {
    "normal": lambda m, s: cpm.GaussianPrior(m, s),
    "student": lambda m, s: cpm.StudentTPrior(4.0, m, s),
    "lognormal": lambda m, s: cpm.LogGaussianPrior(m, s),
    "above": above,
    "below": below,
    "half": lambda m, s: cpm.HalfGaussianPrior(s),
    "gamma": lambda m, s: cpm.GammaPrior(2.0, s),
}


def made(parent):
    m, s = mean(), scale()
    model = cpm.Model(Members, **{name: PARENTS[parent](m, s) for name in NAMES})
    plan = make_plan(model)
    centring = Centring(plan)
    analysis = Analysis()
    check_analysis(analysis)
    return plan, centring, build_model(plan, make_symbolic(plan, analysis, "trace"), centring)


def set_shares(centring, share):
    for place, member in enumerate(centring.members.values()):
        member.share[...] = share if np.isscalar(share) else share[place]


@pytest.fixture(scope="module", params=PARENTS)
def parts(request):
    return made(request.param)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0, (0.1, 0.5, 0.9)], ids=str)
def test_every_share_gives_the_same_posterior(parts, share):
    plan, centring, pymc_model = parts
    density = Density(pymc_model, plan, compiled=False)
    set_shares(centring, share)
    vectors = plan.draws(5, 1)
    points = density.points(vectors)
    np.testing.assert_allclose(density.vectors(points), vectors, rtol=1e-9)
    found = np.array([density.value(point) for point in points]) - density.log_jacobian(points)
    expected = plan.log_prior(vectors) + [
        Analysis().log_likelihood_function(plan.instance(v)) for v in vectors
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_the_change_of_scale_is_the_derivative_of_what_is_done(parts):
    plan, centring, pymc_model = parts
    density = Density(pymc_model, plan, compiled=False)
    set_shares(centring, 0.3)
    (point,) = density.points(plan.draws(1, 2))
    steps = 1e-5 * np.eye(point.size)
    slopes = (density.vectors(point + steps) - density.vectors(point - steps)) / 2e-5
    found = density.log_jacobian(point[np.newaxis])[0]
    assert found == pytest.approx(np.linalg.slogdet(slopes)[1], abs=1e-6)


def test_members_of_no_share_are_offsets_from_their_parent():
    plan, centring, pymc_model = made("normal")
    density = Density(pymc_model, plan, compiled=False)
    set_shares(centring, 0.0)
    vectors = plan.draws(4, 3)
    values = dict(zip(plan.names, vectors.T, strict=True))
    points = dict(zip(plan.names, density.points(vectors).T, strict=True))
    for name in centring.members:
        expected = (values[name] - values["first.mean"]) / values["first.sigma"]
        np.testing.assert_allclose(points[name], expected)


def test_centred_members_are_as_pymc_has_them():
    plan, centring, pymc_model = made("normal")
    plain = build_model(plan, make_symbolic(plan, Analysis(), "trace"))
    point = np.linspace(-1.0, 1.0, plan.size)
    assert set(centring.members) == {"first", "second", "third"}
    with_shares, without = (Density(model, plan, compiled=False) for model in (pymc_model, plain))
    assert with_shares.value(point) == pytest.approx(without.value(point), rel=1e-12)


def test_machine_code_follows_the_shares():
    plan, centring, pymc_model = made("normal")
    compiled = compile_natively(pymc_model, list(plan.names), [centring.numbers])
    density = Density(pymc_model, plan, compiled=False)
    order = [name.removesuffix("_partly_centred__").removesuffix("_log__") for name in compiled.shape_info[0]]
    order = order[: plan.size]
    for share in (1.0, 0.0, 0.3):
        centring.set(share)
        (point,) = density.points(plan.draws(1, 4))
        places = [plan.names.index(name) for name in order]
        value, gradient = compiled.logp_func(point[places])
        expected, slopes = density(point)
        assert value == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(gradient, slopes[places], rtol=1e-8, atol=1e-10)


def test_a_copy_for_another_process_has_the_shares():
    _, centring, _ = made("normal")
    set_shares(centring, (0.1, 0.2, 0.3))
    copy = pickle.loads(pickle.dumps(centring))
    assert [float(member.share) for member in copy.members.values()] == [0.1, 0.2, 0.3]
    copy.set(0.5)
    symbol = next(iter(copy.members.values())).symbol
    assert float(pytensor.function([], symbol)()) == 0.5


@pytest.mark.parametrize(
    "prior",
    [
        cpm.UniformPrior(0.0, cpm.HalfGaussianPrior(2.0)),
        cpm.GaussianPrior(cpm.GaussianPrior(0.0, 1.0), 1.0, lower_limit=-1.0, upper_limit=3.0),
        cpm.GaussianPrior(0.0, 1.0),
        cpm.StudentTPrior(cpm.GammaPrior(2.0, 0.1), 0.0, 1.0),
    ],
    ids=["uniform", "both limits", "no parent", "a parent's shape alone"],
)
def test_what_has_no_parent_to_be_an_offset_from_is_no_member(prior):
    model = cpm.Model(Members, first=prior, second=1.0, third=1.0)
    assert Centring(make_plan(model)).members == {}
