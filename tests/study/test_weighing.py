"""The likelihood of a parent: in memory and from a file, its gradient, and the share that a survey finds."""

import numpy as np
import pytest
from normal_population import Grid, drawn, measured, of
from normal_population import make_parent as make_one_parent
from pytensor.compile.mode import Mode
from scipy import integrate, special, stats

import classy_pm as cpm
from classy_pm.errors import ModelError
from classy_pm.likelihood import make_symbolic
from classy_pm.study.batches import Batches
from classy_pm.study.compiled import compile_share
from classy_pm.study.parents import read_parent
from classy_pm.study.posteriors import Posterior
from classy_pm.study.selection import found_by_data, found_by_values, read_selection
from classy_pm.study.trust import measure
from classy_pm.study.weighing import PopulationAnalysis

RNG = np.random.default_rng(2)
# Objects with different numbers of draws, of two parameters.
POSTERIORS = [
    Posterior(f"object_{place}", RNG.normal([[2.0], [5.0]], 1.0, (2, size)), RNG.normal(0.0, 0.3, size))
    for place, size in enumerate((16, 40, 25, 33, 16, 64))
]
VECTOR = np.array([2.2, 1.3, 4.5, 0.8])


@pytest.fixture
def without_machine_code(monkeypatch):
    """Graphs are computed by NumPy: where it is the formula that is looked at, nothing is compiled."""
    monkeypatch.setattr("classy_pm.study.compiled.NATIVE", Mode(linker="py", optimizer="fast_compile"))


def make_parent(**limits):
    return read_parent(
        ["flux", "colour"],
        {
            "flux": cpm.GaussianPrior(cpm.UniformPrior(0.0, 5.0), cpm.UniformPrior(0.5, 3.0), **limits),
            "colour": cpm.LogGaussianPrior(cpm.UniformPrior(0.0, 9.0), cpm.UniformPrior(0.1, 2.0)),
        },
    )


def expected(vector, selection=0.0):
    mean, sigma, log_mean, log_sigma = vector
    total = 0.0
    for item in POSTERIORS:
        flux, colour = item.x
        density = stats.norm.logpdf(flux, mean, sigma) + stats.lognorm.logpdf(
            colour, log_sigma, scale=np.exp(log_mean)
        )
        total += special.logsumexp(density + item.offset) - selection
    return total


def analysis(selection=None, memory_limit=10**9, folder=None):
    parent = make_parent()
    batches = Batches.of(POSTERIORS, 2, memory_limit, folder)
    return parent, PopulationAnalysis(parent, batches, read_selection(parent, selection))


def value_at(parent, made, vector):
    return made.log_likelihood_function(parent.model.instance_from_vector(vector))


def faint(flux):
    return special.expit(2.0 * (flux - 2.5))


def test_the_likelihood_is_the_mean_ratio_of_parent_to_prior():
    parent, made = analysis()
    assert value_at(parent, made, VECTOR) == pytest.approx(expected(VECTOR), rel=1e-12)


def test_draws_in_a_file_give_the_same_likelihood_and_its_gradient(tmp_path, monkeypatch):
    monkeypatch.setattr("classy_pm.study.batches.ROWS", 70)
    selection = {"flux": faint}
    parent, in_memory = analysis(selection)
    _, in_file = analysis(selection, memory_limit=0, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(list(in_file.batches)) == 4 and len(list(in_memory.batches)) == 4
    assert in_file.batches.digest == in_memory.batches.digest
    value = value_at(parent, in_file, VECTOR)
    assert value == pytest.approx(value_at(parent, in_memory, VECTOR), rel=1e-12)
    gradient = in_file.log_likelihood_gradient(parent.model.instance_from_vector(VECTOR))
    steps = 1e-5 * np.eye(4)
    differences = [
        (value_at(parent, in_memory, VECTOR + step) - value_at(parent, in_memory, VECTOR - step)) / 2e-5
        for step in steps
    ]
    np.testing.assert_allclose(gradient, differences, rtol=1e-6)
    del in_file
    assert not list(tmp_path.iterdir()), "a temporary file stays"


def test_the_likelihood_is_traced_with_a_term_for_each_object():
    parent, made = analysis({"flux": faint})
    symbolic = make_symbolic(parent.plan, made, "trace")
    assert symbolic.proof.worst_gradient_error < 1e-6
    assert symbolic.terms.type.shape == (len(POSTERIORS),)


def test_a_parent_with_limits_on_both_sides_is_traced():
    parent = make_parent(lower_limit=-20.0, upper_limit=20.0)
    made = PopulationAnalysis(parent, Batches.of(POSTERIORS, 2, 10**9))
    assert make_symbolic(parent.plan, made, "trace").proof.worst_gradient_error < 1e-6


def test_other_draws_or_another_parent_are_another_fit():
    from classy_pm.plan import make_plan
    from classy_pm.search.identity import Identity

    def key(made, model):
        return Identity.of(cpm.Emcee(), make_plan(model), made).key

    parent, made = analysis()
    batches = Batches.of(POSTERIORS[:5], 2, 10**9)
    limited = make_parent(lower_limit=0.0)
    keys = {
        key(made, parent.model),
        key(PopulationAnalysis(parent, batches), parent.model),
        key(PopulationAnalysis(limited, made.batches), limited.model),
        key(analysis({"flux": faint})[1], parent.model),
    }
    assert len(keys) == 4
    assert key(analysis()[1], make_parent().model) in keys


@pytest.mark.parametrize("sigma", [0.003, 0.3, 3.0])
@pytest.mark.parametrize(
    "function", [faint, lambda flux: 1.0 * (flux > 2.47), lambda flux: np.exp(-np.abs(flux - 2.0))]
)
def test_the_share_that_is_found_is_the_integral(function, sigma):
    parent = read_parent("flux", cpm.GaussianPrior(cpm.UniformPrior(0.0, 5.0), cpm.UniformPrior(0.001, 3.0)))
    selection = read_selection(parent, function)
    ends = [2.47 - 12.0 * sigma, 2.47 + 12.0 * sigma]
    exact, _ = integrate.quad(
        lambda x: float(function(np.array(x))) * stats.norm.pdf(x, 2.45, sigma),
        *ends,
        points=[2.0, 2.45, 2.47],
        limit=500,
    )
    share = np.exp(selection.log_share(parent.values_at(np.array([2.45, sigma]))))
    assert share == pytest.approx(exact, abs=2.5e-4)


def test_a_faint_share_is_known_relatively():
    parent = read_parent("flux", cpm.GaussianPrior(cpm.UniformPrior(0.0, 5.0), 1.0))
    selection = read_selection(parent, lambda flux: special.expit(10.0 * (flux - 8.0)))
    exact, _ = integrate.quad(
        lambda x: special.expit(10.0 * (x - 8.0)) * stats.norm.pdf(x, 3.0), 3.0, 13.0, points=[8.0]
    )
    share = np.exp(selection.log_share(parent.values_at(np.array([3.0]))))
    assert share == pytest.approx(exact, rel=5e-3) and exact < 1e-6


def above(mean, sigma):
    return stats.norm.logsf(6.0, mean, sigma)


def below(mean, sigma):
    return stats.norm.logcdf(-6.0, mean, sigma)


def outside(mean, sigma):
    return np.logaddexp(above(mean, sigma), below(mean, sigma))


# Of a parent of one parameter, among them such that less than the least float is beyond six.
FAR = np.array([[0.0, 1.0], [0.2, 0.5], [0.1, 0.1], [-1.0, 0.02], [5.9, 2.0]])


@pytest.mark.parametrize(
    ("cut", "exact"),
    [
        (lambda flux: 1.0 * (flux > 6.0), above),
        (lambda flux: 1.0 * (flux < -6.0), below),
        (lambda flux: 1.0 * (np.abs(flux) > 6.0), outside),
    ],
    ids=["above", "below", "outside"],
)
def test_a_hard_cut_far_in_a_tail_is_exact(cut, exact):
    parent = make_one_parent()
    selection = read_selection(parent, cut)
    for vector in FAR:
        assert selection.log_share(parent.values_at(vector)) == pytest.approx(exact(*vector), rel=1e-9)


def test_the_share_of_a_hard_cut_has_its_slope(without_machine_code):
    parent = make_one_parent()
    share = compile_share(parent, read_selection(parent, lambda flux: 1.0 * (np.abs(flux) > 6.0)), FAR)
    step = 1e-6
    for mean, sigma in FAR:
        value, *slopes = share(mean, sigma)
        differences = [
            (outside(mean + step, sigma) - outside(mean - step, sigma)) / (2.0 * step),
            (outside(mean, sigma + step) - outside(mean, sigma - step)) / (2.0 * step),
        ]
        assert value == pytest.approx(outside(mean, sigma), rel=1e-9)
        np.testing.assert_allclose(slopes, differences, rtol=1e-4, atol=1e-6)


def test_a_parent_of_which_nothing_is_found_is_impossible(tmp_path):
    flux = cpm.UniformPrior(cpm.UniformPrior(0.0, 1.0), cpm.UniformPrior(4.0, 9.0))
    parent = read_parent("flux", flux)
    selection = read_selection(parent, lambda flux: 1.0 * (flux > 6.0))
    posteriors = [Posterior("object", np.linspace(3.0, 7.0, 16)[np.newaxis], np.zeros(16))]
    made = PopulationAnalysis(parent, Batches.of(posteriors, 1, 10**9), selection)
    assert value_at(parent, made, np.array([0.5, 5.0])) == -np.inf
    # From 0.5 to 7.5 are all of the sixteen draws, and a part of 1.5 in 7 is found.
    some = 16.0 / 7.0 / (1.5 / 7.0)
    assert value_at(parent, made, np.array([0.5, 7.5])) == pytest.approx(np.log(some), rel=1e-9)
    of_a_file = PopulationAnalysis(parent, Batches.of(posteriors, 1, 0, tmp_path), selection)
    of_a_file._compiled = (
        lambda *given: np.zeros(16),
        lambda *given: [0.0, 0.0],
        lambda *given: [-np.inf, np.nan, np.nan],
    )
    instance = parent.model.instance_from_vector([0.5, 5.0])
    assert of_a_file.log_likelihood_function(instance) == -np.inf
    np.testing.assert_array_equal(of_a_file.log_likelihood_gradient(instance), 0.0)


def test_the_selection_of_a_survey_is_taken_out():
    """Malmquist's bias: of a parent around one, only what is measured above one is found."""
    values = measured(300, 1.0, 0.3, seed=4)
    values = values[values > 1.0]
    parent, batches = make_one_parent(), Batches.of(drawn(values, 0.3, 100, seed=1), 1, 10**9)
    selection = read_selection(parent, lambda flux: special.ndtr((flux - 1.0) / 0.3))
    corrected, blind = (
        Grid(
            of(PopulationAnalysis(parent, batches, survey)),
            np.array([-1.0, 3.0]),
            width=1.0,
            size=(41, 15),
            sigma_to=2.0,
        )
        for survey in (selection, None)
    )
    assert np.all(np.abs(corrected.mean - 1.0) < 2.5 * corrected.sd)
    assert blind.mean[0] - 1.0 > 10.0 * blind.sd[0]


def test_objects_that_were_kept_by_their_true_values_count_as_they_are_found():
    rng = np.random.default_rng(5)
    truth = rng.normal(1.0, 1.0, 800)
    truth = truth[truth > 1.0]
    posteriors = list(drawn(truth + rng.normal(0.0, 0.3, truth.size), 0.3, 200, seed=1))
    parent = make_one_parent()
    selection = read_selection(parent, lambda flux: 1.0 * (flux > 1.0))
    batches = Batches.of(found_by_values(posteriors, selection), 1, 10**9)
    grid = Grid(
        of(PopulationAnalysis(parent, batches, selection)),
        np.array([-1.0, 3.0]),
        width=1.0,
        size=(41, 15),
        sigma_to=2.0,
    )
    assert np.all(np.abs(grid.mean - 1.0) < 2.5 * grid.sd)
    with pytest.raises(ModelError, match=r'object_\d+: is in \d+% of its draws[\s\S]*selected_by="values"'):
        list(found_by_data(posteriors, selection))
    with pytest.raises(ModelError, match="the selection is zero at all of its draws"):
        list(found_by_values(posteriors, read_selection(parent, lambda flux: 1.0 * (flux > 4.0))))


def test_a_window_is_found_however_wide_the_parent_may_reach():
    nu = cpm.UniformPrior(1.0, 30.0)
    prior = cpm.StudentTPrior(nu, cpm.UniformPrior(10.0, 25.0), cpm.HalfGaussianPrior(2.0))
    parent = read_parent("x", prior)
    selection = read_selection(parent, lambda x: 0.05 + 0.9 * ((x > 15.0) & (x < 20.0)))
    law = stats.t(2.0, 17.0, 1.5)
    share = np.log(0.05 + 0.9 * (law.cdf(20.0) - law.cdf(15.0)))
    found = selection.log_share(parent.values_at(np.array([2.0, 17.0, 1.5])))
    assert float(found) == pytest.approx(share, rel=1e-9)


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        ({"flx": faint}, "flx: is not among the parameters"),
        ({"flux": 0.5}, "flux: 0.5 is no function"),
        ({"flux": lambda flux: 2.0 + 0.0 * flux}, "is no probability: it is 2.0"),
        ({"flux": lambda flux: 0.5}, r"returned shape \(\) for values of shape"),
        (0.5, "functions of one parameter each"),
        (lambda flux, colour: 2.0 + 0.0 * flux, "is no probability: it is 2.0"),
        (lambda flux, colour: np.nan * flux, "is no probability: it is nan"),
        (lambda flux, colour: 0.5, r"returned shape \(\) for values of shape"),
        (lambda flux: faint(flux), r"of all parameters takes \(flux\), and is called with 2 arrays"),
        ({"flux": lambda flux, colour: 0.5}, r"takes \(flux, colour\), and is called with 1 array\."),
        (
            {"flux": lambda flux: 1.0 if flux > 2.0 else 0.0},
            "cannot be computed for arrays: ValueError: The truth",
        ),
        ({"flux": lambda flux: "much"}, "cannot be computed for arrays: ValueError: could not convert"),
        ({"flux": lambda flux: 1.0 * (flux > 1e6)}, "The selection of flux is zero from "),
    ],
)
def test_what_is_no_selection_is_refused(selection, text):
    with pytest.raises(ModelError, match=text):
        read_selection(make_parent(), selection)


def test_all_that_is_wrong_with_a_selection_is_told_at_once():
    with pytest.raises(ModelError, match="probability, from 0 to 1") as told:
        read_selection(make_parent(), {"flux": lambda flux: 0.5, "colour": lambda a, b: a})
    assert len(told.value.faults) == 2


def test_a_selection_of_a_parameter_that_depends_on_another_is_refused():
    flux = cpm.GaussianPrior(cpm.UniformPrior(0.0, 5.0), 1.0)
    parent = read_parent(["flux", "colour"], {"flux": flux, "colour": cpm.GaussianPrior(2.0 * flux, 1.0)})
    with pytest.raises(ModelError, match="colour: its parent depends on another parameter"):
        read_selection(parent, {"colour": faint})
    assert read_selection(parent, {"flux": faint}) is not None


def test_a_selection_of_several_parameters_at_once_is_integrated_and_has_a_gradient(without_machine_code):
    def bright_and_blue(flux, colour):
        return special.expit(flux - 0.02 * colour)

    parent, made = analysis(bright_and_blue)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)  # exact to more digits than are looked at
    flux, colour = 2.2 + 1.3 * nodes[:, np.newaxis], np.exp(4.5 + 0.8 * nodes)
    exact = weights @ bright_and_blue(flux, colour) @ weights / (2.0 * np.pi)
    share = np.exp(made.selection.log_share(parent.values_at(VECTOR)))
    assert share == pytest.approx(exact, abs=1e-4)
    assert value_at(parent, made, VECTOR) == pytest.approx(expected(VECTOR, np.log(share)), rel=1e-10)
    gradient = made.log_likelihood_gradient(parent.model.instance_from_vector(VECTOR))
    steps = 1e-4 * np.eye(4)
    differences = [
        (value_at(parent, made, VECTOR + step) - value_at(parent, made, VECTOR - step)) / 2e-4
        for step in steps
    ]
    np.testing.assert_allclose(gradient, differences, rtol=2e-3, atol=1e-3)
    trust = measure(made, VECTOR + 0.01 * RNG.normal(size=(20, 4)))
    assert np.all(trust.selected < 0.01)


def test_a_population_without_objects_is_refused():
    with pytest.raises(ModelError, match="has no objects"):
        Batches.of([], 1, 10**9)
