"""SMC on posteriors and evidences that are known."""

import pickle

import numpy as np
import pymc as pm
import pytest
import scipy.integrate
import scipy.stats
from known_posterior import LOG_EVIDENCE, MEAN, SD, Normal, Point, normal_model

import classy_pm as cpm
from classy_pm.errors import SearchError, SettingError
from classy_pm.plan import make_plan
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report
from classy_pm.search.smc import _Runner


class TwoModes(cpm.Analysis):
    """Two narrow peaks far apart, one with three times the mass of the other."""

    def log_likelihood_function(self, instance):
        left = np.log(0.25) - 0.5 * ((instance.x + 10.0) / 0.3) ** 2
        right = np.log(0.75) - 0.5 * ((instance.x - 10.0) / 0.3) ** 2
        return np.logaddexp(left, right)


def search(**settings):
    return cpm.SMC(**{"draws": 500, "chains": 4, "random_seed": 1, **settings})


def assert_evidence(result, log_evidence):
    """The error has three degrees of freedom: 6.2 is to Student's t what 3.1 is to the normal, about."""
    assert abs(result.log_evidence - log_evidence) < 8.0 * result.log_evidence_error
    assert 0.0 < result.log_evidence_error < 0.2


@pytest.fixture(scope="module", params=["IMH", "MH"])
def result(request):
    return search(kernel=request.param).fit(normal_model(), Normal())


def test_the_evidence_is_the_known_one(result):
    assert_evidence(result, LOG_EVIDENCE)


def test_the_posterior_is_the_known_one(result):
    table = result.summary()
    for name, mean, sd in [("x", MEAN, SD), ("y", 1.0, 2.0)]:
        error = sd / np.sqrt(table["ess"][name])
        assert abs(table["mean"][name] - mean) < 4.0 * error
        assert abs(table["sd"][name] - sd) < 4.0 * error


def test_its_chains_are_chains(result):
    assert result.kind == "chains" and dict(result.idata["posterior"].sizes) == {"chain": 4, "draw": 500}
    assert "weighted_posterior" not in result.idata.children
    assert np.all(result.summary()["r_hat"] < 1.02)


def test_each_draw_has_its_own_log_likelihood_and_prior(result):
    draws, stats, model = result.idata["posterior"], result.idata["sample_stats"], normal_model()
    np.testing.assert_allclose(
        stats["total_log_likelihood"], -0.5 * ((draws["x"] - MEAN) / SD) ** 2, atol=1e-12
    )
    expected = model.x.logpdf(draws["x"].values) + model.y.logpdf(draws["y"].values)
    np.testing.assert_allclose(stats["log_prior"], expected, atol=1e-12)


def test_an_assertion_takes_its_part_of_the_evidence_away():
    """The model's initial point, which PyMC would let all of them start from, is no population."""
    model = normal_model()
    model.add_assertion(model.x < 3.2)
    model.add_assertion(model.y > model.x)

    def density(y, x):
        return np.exp(-0.5 * ((x - MEAN) / SD) ** 2) / 100.0 * scipy.stats.norm.pdf(y, 1.0, 2.0)

    evidence, _ = scipy.integrate.dblquad(density, 0.0, 3.2, lambda x: x, 15.0)
    result = search().fit(model, Normal())
    assert_evidence(result, np.log(evidence))
    draws = result.idata["posterior"]
    assert np.all(draws["x"] < 3.2) and np.all(draws["y"] > draws["x"])


class Partly(Normal):
    """Impossible in one part of the prior, NaN in another; it counts for itself."""

    def __init__(self):
        self.nan_count = 0

    def __identity__(self):
        return {}

    def log_likelihood_function(self, instance):
        if instance.x < -20.0:
            raise cpm.FitException
        if instance.x < MEAN:
            self.nan_count += 1
            return np.nan
        return super().log_likelihood_function(instance)


@pytest.mark.slow
def test_a_black_box_that_is_impossible_or_nan_in_a_part_of_the_prior(tmp_path):
    analysis, filed = Partly(), Partly()
    result = search(draws=250, likelihood="blackbox").fit(normal_model(), analysis)
    assert_evidence(result, LOG_EVIDENCE + np.log(0.5))
    assert float(result.idata["posterior"]["x"].min()) >= MEAN
    assert any(f"NaN {analysis.nan_count} times" in notice for notice in result.notices)
    # In a catalogue each call goes by way of the journal.
    again = search(draws=250, likelihood="blackbox").fit(
        normal_model(), filed, catalog=tmp_path / "fits.sqlite"
    )
    assert filed.nan_count == analysis.nan_count and again.notices == result.notices


def test_a_process_tells_how_often_the_likelihood_was_nan():
    plan, analysis = make_plan(normal_model()), Partly()
    runner = pickle.loads(pickle.dumps(_Runner("MH", {"draws": 50})))
    problem = Problem(plan, analysis, "blackbox", 1, 1, Report(False))
    there = Problem(**problem.for_another_process(), report=Report(False))
    counts = []
    for number in range(2):
        before = there.symbolic and analysis.nan_count
        chain = runner(there, number)
        counts.append((int(chain["nan_count"]), analysis.nan_count - before))
    assert all(told == counted > 0 for told, counted in counts)


def test_a_prior_that_depends_on_a_parameter():
    model = cpm.Model(Point, y=cpm.GaussianPrior(0.0, 3.0))
    model.x = cpm.GaussianPrior(mean=model.y, sigma=1.0)
    result = search().fit(model, Normal())
    marginal = scipy.stats.norm.logpdf(MEAN, 0.0, np.sqrt(10.0 + SD**2))
    assert_evidence(result, np.log(SD * np.sqrt(2.0 * np.pi)) + marginal)


def test_arrays_of_parameters_keep_their_shape():
    class Vector:
        def __init__(self, values=None):
            self.values = values

    class Sum(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * np.sum((np.asarray(instance.values) - np.array([[1.0], [2.0]])) ** 2)

    model = cpm.Model(Vector, values=cpm.Array((2, 1), cpm.GaussianPrior(0.0, 1.0)))
    result = search(chains=2).fit(model, Sum())
    mean = result.idata["posterior"]["values"].mean(("chain", "draw")).values
    np.testing.assert_allclose(mean, [[0.5], [1.0]], atol=0.12)


def test_both_modes_are_found_with_their_masses():
    result = search(draws=1000, kernel="MH").fit(normal_model(), TwoModes())
    assert_evidence(result, np.log(0.3 * np.sqrt(2.0 * np.pi) / 100.0))
    right = (result.idata["posterior"]["x"] > 0.0).mean("draw").values
    assert abs(right.mean() - 0.75) < 4.0 * right.std(ddof=1) / 2.0 + 0.02


def test_the_same_seed_gives_the_same_draws_and_another_gives_others():
    def draw(seed):
        result = search(draws=100, chains=2, random_seed=seed).fit(normal_model(), Normal())
        return result.idata["posterior"]["x"].values

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


class Rooted(Normal):
    """Traced, and NaN in half of the prior."""

    def log_likelihood_function(self, instance):
        return super().log_likelihood_function(instance) + 1e-3 * np.sqrt(instance.x)


def test_the_draws_do_not_depend_on_the_number_of_cores():
    first, second = (
        search(draws=100, chains=2, number_of_cores=cores).fit(normal_model(), Rooted()) for cores in (1, 2)
    )
    np.testing.assert_array_equal(first.idata["posterior"]["x"], second.idata["posterior"]["x"])
    assert first.log_evidence == second.log_evidence
    assert any("NaN" in notice for notice in first.notices) and first.notices == second.notices


def test_a_killed_fit_goes_on_with_the_same_draws_and_does_not_repeat_finished_chains(tmp_path, monkeypatch):
    stages, fails_at, mutate = [], [], pm.smc.MH.mutate

    def counted(kernel):
        stages.append(kernel.iteration)
        if len(stages) in fails_at:
            raise MemoryError
        mutate(kernel)

    def fit(**where):
        stages.clear()
        return search(draws=100, chains=3, checkpoint_interval=0.0).fit(normal_model(), Rooted(), **where)

    monkeypatch.setattr(pm.smc.MH, "mutate", counted)
    expected = fit()
    third = [place for place, stage in enumerate(stages) if stage == 1][2]
    whole = list(stages)
    fails_at.append(third + 2)
    with pytest.raises(MemoryError):
        fit(catalog=tmp_path / "fits.sqlite")
    assert len(list(tmp_path.rglob("chain-*.npz"))) == 2
    fails_at.clear()
    result = fit(catalog=tmp_path / "fits.sqlite")
    assert stages == whole[third:]
    np.testing.assert_array_equal(result.samples.parameter_lists, expected.samples.parameter_lists)
    assert result.log_evidence == expected.log_evidence and result.notices == expected.notices
    assert not list(tmp_path.rglob("chain-*"))


def test_a_single_chain_has_an_evidence_without_an_error():
    result = search(chains=1).fit(normal_model(), Normal())
    assert abs(result.log_evidence - LOG_EVIDENCE) < 0.5 and result.log_evidence_error is None
    assert any("single chain" in notice for notice in result.notices)


def test_populations_that_collapse_or_do_not_agree_are_told():
    def told(log_evidences, smallest):
        return list(cpm.SMC()._notices(np.array(log_evidences), smallest))

    assert told([-4.0, -4.1], 0.5) == []
    (collapsed,) = told([-4.0, -4.1], 0.001)
    assert "only 0.10% of a population was effective, 50% were wanted" in collapsed
    (apart,) = told([-4.0, -7.5], 0.5)
    assert "lie 3.5 apart" in apart


def test_a_likelihood_that_is_never_possible_is_told():
    class Never(Normal):
        def log_likelihood_function(self, instance):
            raise cpm.FitException

    with pytest.raises(SearchError, match="all 100 points of the prior"):
        search(draws=100, likelihood="blackbox").fit(normal_model(), Never())


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(SettingError, match=r"draws.*\n.*threshold"):
        cpm.SMC(draws=0, threshold=1.0)
    with pytest.raises(SettingError, match="IMH"):
        cpm.SMC(kernel="HMC")
