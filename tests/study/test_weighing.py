"""The likelihood of a parent: in memory and from a file, its gradient, and the share that a survey finds."""

import numpy as np
import pytest
from normal_population import Grid, drawn, measured, of
from normal_population import make_parent as make_one_parent
from scipy import integrate, special, stats

import classy_pm as cpm
from classy_pm.errors import ModelError
from classy_pm.likelihood import make_symbolic
from classy_pm.study.batches import Batches
from classy_pm.study.parents import read_parent
from classy_pm.study.posteriors import Posterior
from classy_pm.study.selection import read_selection
from classy_pm.study.trust import measure
from classy_pm.study.weighing import PopulationAnalysis

RNG = np.random.default_rng(2)
# Objects with different numbers of draws, of two parameters.
POSTERIORS = [
    Posterior(f"object_{place}", RNG.normal([[2.0], [5.0]], 1.0, (2, size)), RNG.normal(0.0, 0.3, size))
    for place, size in enumerate((16, 40, 25, 33, 16, 64))
]
VECTOR = np.array([2.2, 1.3, 4.5, 0.8])


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


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        ({"flx": faint}, "flx: is not among the parameters"),
        ({"flux": 0.5}, "flux: 0.5 is no function"),
        ({"flux": lambda flux: 2.0 + 0.0 * flux}, "is no probability: it is 2.0"),
        ({"flux": lambda flux: 0.5}, r"returned shape \(\) for values of shape"),
        (0.5, "functions of one parameter each"),
        (lambda flux, colour: 2.0 + 0.0 * flux, "is no probability: it is 2.0"),
    ],
)
def test_what_is_no_selection_is_refused(selection, text):
    with pytest.raises(ModelError, match=text):
        read_selection(make_parent(), selection)


def test_a_selection_of_a_parameter_that_depends_on_another_is_refused():
    flux = cpm.GaussianPrior(cpm.UniformPrior(0.0, 5.0), 1.0)
    parent = read_parent(["flux", "colour"], {"flux": flux, "colour": cpm.GaussianPrior(2.0 * flux, 1.0)})
    with pytest.raises(ModelError, match="colour: its parent depends on another parameter"):
        read_selection(parent, {"colour": faint})
    assert read_selection(parent, {"flux": faint}) is not None


def test_a_selection_of_several_parameters_at_once_is_integrated_and_has_a_gradient():
    def bright_and_blue(flux, colour):
        return special.expit(flux - 0.02 * colour)

    parent, made = analysis(bright_and_blue)
    exact, _ = integrate.dblquad(
        lambda log, flux: np.prod(
            [
                bright_and_blue(flux, np.exp(log)),
                stats.norm.pdf(flux, 2.2, 1.3),
                stats.norm.pdf(log, 4.5, 0.8),
            ]
        ),
        *(2.2 - 10.0, 2.2 + 10.0, 4.5 - 6.0, 4.5 + 6.0),
        epsabs=1e-7,
    )
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
