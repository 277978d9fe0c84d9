"""Fits of many data sets at once: against the closed form, hand-written PyMC, and through the catalogue."""

import numpy as np
import pymc as pm
import pytest

import classy_pm as cpm
from classy_pm.errors import SettingError
from classy_pm.likelihood.joint import analysis_of
from classy_pm.plan import make_plan
from classy_pm.search.identity import Identity

NAMES = ("a", "b", "c", "d", "e")
DATA = [np.random.default_rng(place).normal(3.0 * place, 1.0, 4 + place % 2) for place in range(5)]
# The scatter of the parent, and the prior of its mean.
SCATTER, WIDTH = 2.0, 10.0


class Source:
    def __init__(self, flux=0.0):
        self.flux = flux


class Exposures(cpm.Analysis):
    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum((self.data - instance.source.flux) ** 2)


def make_graph():
    parent = cpm.GaussianPrior(0.0, WIDTH)
    return cpm.FactorGraphModel(
        *(
            cpm.AnalysisFactor(
                cpm.Collection(source=cpm.Model(Source, flux=cpm.GaussianPrior(parent, SCATTER))),
                Exposures(data),
                name=name,
            )
            for name, data in zip(NAMES, DATA, strict=True)
        )
    )


def exact():
    """The mean and covariance of (parent, fluxes), which are normal."""
    precision = np.zeros((6, 6))
    precision[0, 0] = 1.0 / WIDTH**2 + 5.0 / SCATTER**2
    precision[0, 1:] = precision[1:, 0] = -1.0 / SCATTER**2
    precision[1:, 1:] = np.diag([len(data) + 1.0 / SCATTER**2 for data in DATA])
    covariance = np.linalg.inv(precision)
    return covariance @ np.array([0.0, *(data.sum() for data in DATA)]), covariance


@pytest.fixture(scope="module")
def result():
    return cpm.NUTS(draws=1000, tune=500, chains=4, random_seed=1, progress=False).fit(make_graph())


def test_the_posterior_of_a_hierarchy_is_the_closed_form(result):
    mean, covariance = exact()
    table = result.summary()
    error = table["sd"] / np.sqrt(table["ess"])
    assert np.all(np.abs(table["mean"] - mean) < 5.0 * error)
    np.testing.assert_allclose(table["sd"], np.sqrt(np.diag(covariance)), rtol=0.1)
    found = np.corrcoef(result.samples.vectors.T)
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found, covariance / np.outer(sd, sd), atol=0.1)


def test_the_result_has_the_data_sets_as_a_dim(result):
    posterior = result.idata["posterior"]
    assert posterior["source.flux"].dims == ("chain", "draw", "dataset")
    assert list(posterior["dataset"].values) == list(NAMES)
    assert posterior["source.flux.mean"].dims == ("chain", "draw")
    instances = result.max_log_likelihood_instance
    assert isinstance(instances["c"].source, Source) and instances[2] is instances["c"]


def test_the_pointwise_terms_are_those_of_all_data(result):
    terms = result.idata["log_likelihood"]["likelihood"]
    assert terms.sizes["likelihood_term"] == sum(map(len, DATA))
    np.testing.assert_allclose(
        terms.sum("likelihood_term"), result.idata["sample_stats"]["total_log_likelihood"], rtol=1e-10
    )


def test_the_model_is_the_one_written_by_hand():
    ours = cpm.to_pymc(make_graph())
    sizes = np.array([len(data) for data in DATA])
    with pm.Model(coords={"dataset": NAMES}) as theirs:
        parent = pm.Normal("source.flux.mean", np.float64(0.0), np.float64(WIDTH))
        flux = pm.Normal("source.flux", parent, np.float64(SCATTER), dims="dataset")
        pm.Potential(
            "data", -0.5 * pm.math.sum((np.concatenate(DATA) - flux[np.repeat(np.arange(5), sizes)]) ** 2)
        )
    assert [variable.name for variable in ours.free_RVs] == [variable.name for variable in theirs.free_RVs]
    assert ours.named_vars_to_dims["source.flux"] == ("dataset",)
    point = {"source.flux.mean": np.array(1.0), "source.flux": np.linspace(-1.0, 9.0, 5)}
    for function in ("compile_logp", "compile_dlogp"):
        got, expected = (getattr(model, function)()(point) for model in (ours, theirs))
        np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_a_graph_is_filed_found_and_read_again(tmp_path):
    search = cpm.Emcee(nwalkers=20, nsteps=200, random_seed=1, progress=False)
    first = search.fit(make_graph(), catalog=tmp_path / "fits.sqlite")
    again = search.fit(make_graph(), catalog=tmp_path / "fits.sqlite")
    assert again.from_catalog
    np.testing.assert_array_equal(again.samples.vectors, first.samples.vectors)
    agg = cpm.Aggregator.from_database(tmp_path / "fits.sqlite")
    assert len(agg.query((agg.source == Source) & (agg.source.flux[4] > 5.0))) == 1
    (instances,) = agg.query(agg.source == Source).values("instance")
    assert instances["e"].source.flux == pytest.approx(12.0, abs=2.0)
    (samples,) = agg.values("samples")
    np.testing.assert_array_equal(samples.vectors, first.samples.vectors)


def test_other_data_of_one_data_set_are_another_fit():
    def key(graph):
        return Identity.of(cpm.Emcee(), make_plan(graph), analysis_of(graph, None, "")).key

    changed = make_graph()
    changed.factors[3].analysis.data = DATA[3] + 1e-9
    assert key(make_graph()) == key(make_graph()) != key(changed)


def test_a_graph_has_its_analyses_and_a_model_needs_one():
    graph = make_graph()
    with pytest.raises(SettingError, match="have their analyses already"):
        cpm.Emcee().fit(graph, Exposures(DATA[0]))
    with pytest.raises(SettingError, match="analysis: is missing"):
        cpm.Emcee().fit(graph["a"])
    with pytest.raises(SettingError, match="analysis: is missing"):
        cpm.to_pymc(graph["a"])


def test_the_result_of_a_data_set_has_its_terms_and_all_of_them_are_the_whole(result):
    each = list(result)
    total = sum(one.idata["sample_stats"]["total_log_likelihood"] for one in each)
    np.testing.assert_allclose(total, result.idata["sample_stats"]["total_log_likelihood"], rtol=1e-10)
    for one, data in zip(each, DATA, strict=True):
        flux = one.idata["posterior"]["source.flux"].values
        terms = one.idata["log_likelihood"]["likelihood"]
        np.testing.assert_allclose(terms, -0.5 * (data - flux[..., np.newaxis]) ** 2, rtol=1e-9, atol=1e-12)
        assert one.loo().n_data_points == len(data)


def test_what_only_some_analyses_give_of_a_gradient_or_of_terms_is_told():
    class Pointwise(Exposures):
        def log_likelihood_pointwise(self, instance):
            return -0.5 * (self.data - instance.source.flux) ** 2

    graph = make_graph()
    graph.factors[0].analysis = Pointwise(DATA[0])
    (notice,) = analysis_of(graph, None, "").notices()
    assert "`log_likelihood_pointwise` of Pointwise" in notice and "b, c, d, e have none" in notice


def test_a_part_of_a_graph_is_the_graph_of_those_data_sets():
    graph = make_graph()
    population = cpm.HierarchicalFactor(cpm.GaussianPrior, mean=cpm.GaussianPrior(0.0, 1.0), sigma=1.0)
    for name in NAMES:
        population.add_drawn_variable(graph[name].source.flux)
    whole = cpm.FactorGraphModel(*graph.factors, population)
    part = whole.with_paths(["b", "d"])
    assert list(make_plan(part).names) == ["source.flux.mean", "source.flux"]
    assert make_plan(part).parameters[1].prior.arguments["sigma"] == 1.0
    joint = analysis_of(part, None, "fit(model, analysis)")
    assert [joint.analyses[name].data is DATA[NAMES.index(name)] for name in ("b", "d")] == [True, True]
    assert list(joint.analyses) == ["b", "d"]
    assert [factor.prior_model is part[name] for name, factor in zip("bd", part.factors, strict=True)] == [
        True,
        True,
    ]


def test_a_graph_of_plain_data_has_no_analyses():
    with pytest.raises(SettingError, match="has no analyses"):
        cpm.Emcee().fit(cpm.Collection.from_dict(make_graph().to_dict()))


def test_a_fault_of_a_data_set_is_told_with_its_name():
    graph = make_graph()
    graph.factors[1].analysis.data = np.array([1.0, np.nan])
    with pytest.raises(cpm.ClassyError, match=r"b: (.|\n)*NaN"):
        cpm.Emcee().fit(graph)
