"""Populations from filed fits: against the exact posterior, the joint fit, and through the catalogue."""

import numpy as np
import pytest
from made_fits import Source, file_fits, made_fit, source
from normal_population import MEAN, SIGMA, Grid, exact, measured, of, parent_prior, posterior_under

import classy_pm as cpm
from classy_pm.errors import ModelError, SettingError

ERROR = 0.3


class Exposure(cpm.Analysis):
    def __init__(self, value, error=ERROR):
        self.value, self.error = value, error

    def log_likelihood_function(self, instance):
        return -0.5 * ((self.value - instance.source.flux) / self.error) ** 2


def normal_fit(number, value, prior, error=ERROR, draws=100, **changes):
    """A fit of one object under a normal prior, with draws of its exact posterior."""
    rng = np.random.default_rng(number)
    mean, sd = posterior_under(*prior, value, error)
    return made_fit(
        number, source(cpm.GaussianPrior(*prior)), {"source.flux": rng.normal(mean, sd, draws)}, **changes
    )


VALUES = measured(50, 1.0, ERROR, seed=3)


@pytest.fixture(scope="module")
def location(tmp_path_factory):
    """Fifty objects, of which some have priors of their own."""
    place = tmp_path_factory.mktemp("population") / "survey.sqlite"
    priors = [(0.0, 20.0), (3.0, 2.0), (-1.0, 4.0)]
    file_fits(place, (normal_fit(number, value, priors[number % 3]) for number, value in enumerate(VALUES)))
    return place


@pytest.fixture
def agg(location):
    return cpm.Aggregator.from_database(location)


@pytest.fixture(scope="module")
def result(location, tmp_path_factory):
    agg = cpm.Aggregator.from_database(location)
    population = cpm.Population(agg.query(agg.source == Source), "source.flux", parent_prior())
    search = cpm.NUTS(draws=500, tune=300, chains=4, random_seed=1, progress=False)
    return population.fit(search, catalog=tmp_path_factory.mktemp("result") / "parent.sqlite")


def test_the_prior_of_each_object_is_divided_out(agg):
    population = cpm.Population(agg, "source.flux", parent_prior())
    found, truth = (
        Grid(log, VALUES, size=(15, 25), sigma_to=2.0)
        for log in (of(population._analysis({})), exact(VALUES, ERROR))
    )
    np.testing.assert_allclose(found.mean, truth.mean, atol=0.15 * np.min(truth.sd))
    np.testing.assert_allclose(found.sd, truth.sd, rtol=0.1)


def test_it_agrees_with_the_joint_fit(result):
    parent = parent_prior()
    graph = cpm.FactorGraphModel(
        *(cpm.AnalysisFactor(source(parent.copy()), Exposure(value)) for value in VALUES)
    )
    search = cpm.NUTS(draws=300, tune=200, chains=2, random_seed=1, progress=False)
    joint = search.fit(graph).summary()
    ours = result.summary()
    assert list(ours.index) == ["source.flux.mean", "source.flux.sigma"]
    joint = joint.loc[ours.index]
    error = np.hypot(joint["sd"] / np.sqrt(joint["ess"]), ours["sd"] / np.sqrt(ours["ess"]))
    assert np.all(np.abs(ours["mean"] - joint["mean"]) < 4.0 * error + 0.1 * joint["sd"])
    np.testing.assert_allclose(ours["sd"], joint["sd"], rtol=0.15)


def test_the_result_shows_the_effective_draws_of_each_object(result):
    group = result.idata["population"]
    assert group["effective_draws"].dims == ("object",)
    assert list(group["object"].values) == [f"object_{number}" for number in range(50)]
    assert np.all(group["effective_draws"].values <= 100.0 + 1e-9)
    assert float(group["effective_draws"].sel(object="object_7")) > 30.0
    assert "Objects                 50; effective draws of each: " in result.info
    assert " sd for source.flux.mean, " in result.info
    told = result.attributes["population"]
    assert told["determined"] and max(told["off"].values()) <= 0.2
    assert told["parent"] == {
        "source.flux": "GaussianPrior(mean=source.flux.mean, sigma=source.flux.sigma, "
        "lower_limit=-inf, upper_limit=inf)"
    }
    assert not result.notices


def test_a_population_is_filed_and_found_again(agg, tmp_path):
    search = cpm.Emcee(nwalkers=16, nsteps=60, random_seed=1, progress=False)
    streamed = {"memory_limit": 0, "folder": tmp_path}
    fits = [cpm.Population(agg, "source.flux", parent_prior(), **settings) for settings in ({}, streamed)]
    first, again = (population.fit(search, catalog=tmp_path / "parents.sqlite") for population in fits)
    # It is looked at that the likelihood is still the same, here of draws in a file.
    assert again.from_catalog and not first.from_catalog
    assert not list(tmp_path.glob("*.draws"))
    np.testing.assert_array_equal(again.samples.vectors, first.samples.vectors)
    np.testing.assert_array_equal(
        again.idata["population"]["effective_draws"].values,
        first.idata["population"]["effective_draws"].values,
    )
    stored = cpm.Aggregator.from_database(tmp_path / "parents.sqlite")
    assert len(stored.query(stored.source.flux["mean"] > -5.0)) == 1


def test_objects_whose_draws_do_not_do_are_fitted_again(tmp_path):
    """Ten objects, of which three have few draws of a wide posterior."""
    values = measured(10, 0.3, 0.1, seed=12)
    wide = dict.fromkeys((1, 4, 7), (0.0, 20.0))
    errors = dict.fromkeys(wide, 2.0)
    fits = (
        normal_fit(
            number,
            value,
            wide.get(number, (0.0, 20.0)),
            error=errors.get(number, 0.1),
            draws=16 if number in wide else 200,
        )
        for number, value in enumerate(values)
    )
    agg = file_fits(tmp_path / "survey.sqlite", fits)
    population = cpm.Population(agg.register(Source), "source.flux", parent_prior())
    asked = []

    def analysis_of(stored):
        number = int(stored.unique_tag.removeprefix("object_"))
        asked.append(number)
        return Exposure(values[number], errors.get(number, 0.1))

    search = cpm.Emcee(nwalkers=20, nsteps=150, random_seed=1, progress=False)
    with pytest.warns(UserWarning, match="do not determine the answer"):
        population.fit(search)
    result = population.fit(search, refit=analysis_of, refit_search=search, catalog=agg.catalog)
    assert asked and set(asked) <= set(wide)
    assert result.attributes["population"]["determined"]
    effective = result.idata["population"]["effective_draws"].values
    assert np.min(effective[asked]) > 20.0
    assert any("of 10 objects were fitted again near the parent" in notice for notice in result.notices)
    query = agg.query(agg.source == Source)
    population = cpm.Population(query.register(Source), "source.flux", parent_prior())
    again = population.fit(search, refit=analysis_of, refit_search=search, catalog=agg.catalog)
    assert again.from_catalog, "what was fitted again is no object of its own"


def test_what_a_refit_lacks_is_told_for_all_objects_before_any_is_fitted(agg):
    from classy_pm.study.posteriors import objects
    from classy_pm.study.refitting import refit_objects

    given = {"object_1": Exposure(0.0), "object_2": "data"}
    priors = {"source.flux": cpm.GaussianPrior(1.0, 1.0)}
    with pytest.raises(ModelError) as told:
        refit_objects(objects(agg), [1, 2, 3], priors, given, cpm.Emcee(), {}, None)
    assert "object_1: the classes of `source` are not known" in str(told.value)
    assert "object_2: 'data' is no analysis" in str(told.value)
    assert "object_3: its data were not handed over" in str(told.value)


def test_fits_that_are_approximations_are_told(tmp_path):
    fits = [normal_fit(number, 1.0, (0.0, 20.0), kind="approximation") for number in range(2)]
    agg = file_fits(tmp_path / "survey.sqlite", fits)
    analysis = cpm.Population(agg, "source.flux", parent_prior())._analysis({})
    (first, *_) = analysis._afterword(np.array([[1.0, 0.5], [1.1, 0.4]])).notices
    assert "2 of 2 fits are approximations" in first


def test_objects_that_the_parent_cannot_have_are_named(agg):
    parent = cpm.GaussianPrior(cpm.UniformPrior(*MEAN), cpm.UniformPrior(*SIGMA), lower_limit=1.0)
    with pytest.raises(ModelError, match="objects are impossible at all of 50 draws") as told:
        cpm.Population(agg, "source.flux", parent)._analysis({})
    assert "the parent's density is zero at all of its draws" in str(told.value)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"catalog_query": "survey.sqlite"}, "is no selection of filed fits"),
        ({"catalog_query": [1, 2]}, "are not all filed fits"),
        ({"memory_limit": -1}, "is no number of bytes"),
        ({"parents": 1}, "parents: is no argument"),
    ],
)
def test_what_makes_no_population_is_refused(agg, given, text):
    arguments = {"catalog_query": agg, "parameters": "source.flux", "parent": parent_prior()} | given
    with pytest.raises(SettingError, match=text):
        cpm.Population(**arguments)


@pytest.mark.parametrize("of", [lambda agg: agg, lambda agg: agg.catalog, list], ids=["query", "all", "list"])
def test_parameters_that_no_fit_has_are_told_at_once(agg, of):
    parent = {"source.flx": parent_prior(), "colour": parent_prior()}
    with pytest.raises(ModelError, match="No fit has such a parameter") as told:
        cpm.Population(of(agg), ["source.flx", "colour"], parent)
    assert told.value.faults == (
        "source.flx: Did you mean `source.flux`?",
        "colour: Did you mean `source.colour`?",
    )
    # That it is fixed in these fits is told when all are read.
    cpm.Population(of(agg), "source.colour", parent_prior())


def test_parameters_are_looked_for_in_all_fits(agg, tmp_path):
    other = cpm.Collection(other=cpm.UniformPrior(0.0, 4.0))
    fits = [made_fit(0, other, {"other": np.ones(40)}), normal_fit(1, 1.0, (0.0, 20.0))]
    mixed = file_fits(tmp_path / "mixed.sqlite", fits)
    for found in (mixed, list(mixed)):
        with pytest.raises(ModelError, match=r"object_0: source\.flux: is no parameter of this fit"):
            cpm.Population(found, "source.flux", parent_prior())._analysis({})


def test_a_population_is_shown_with_its_fits_and_its_parent(agg):
    population = cpm.Population(agg.query(agg.source == Source), "source.flux", parent_prior())
    parent = "source.flux ~ GaussianPrior(mean=source.flux.mean, sigma=source.flux.sigma)"
    assert repr(population).startswith("<Population of <Aggregator: (source == Source) of ")
    assert repr(population).endswith(f": {parent}>")
    cut = cpm.Population(list(agg), "source.flux", parent_prior(), selection=lambda flux: 1.0 * (flux > 0.0))
    assert repr(cut) == f"<Population of 50 fits: {parent}, with a selection>"


def test_all_that_is_wrong_with_a_fit_is_told_at_once(agg):
    population = cpm.Population(agg, "source.flux", parent_prior())
    with pytest.raises(SettingError) as told:
        population.fit("nuts", refit=3, rounds=0)
    for fault in ("search: 'nuts' is no search", "refit: 3 gives no analysis", "rounds: 0 is no positive"):
        assert fault in str(told.value)
