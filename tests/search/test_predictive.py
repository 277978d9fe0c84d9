"""What an analysis simulates and derives: groups of the tree, variables of the posterior."""

import re

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import LikelihoodError
from classy_pm.plan import make_plan
from classy_pm.search import simulated
from classy_pm.search.predictive import check_extras, drawn_variables, predictive_groups

X = np.arange(30.0)
TRUTH = (1.0, 2.0)


class Line:
    def __init__(self, offset=0.0, slope=0.0):
        self.offset, self.slope = offset, slope

    def at(self, x):
        return self.offset + self.slope * x


class LineAnalysis(cpm.Analysis):
    def __init__(self, data, noise_map):
        self.data, self.noise_map = data, noise_map

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(((self.data - instance.at(X)) / self.noise_map) ** 2)


def drawn(instance, rng):
    return rng.normal(instance.at(X), 3.0)


class Simulating(LineAnalysis):
    def simulate(self, instance, rng):
        return type(self)(drawn(instance, rng), self.noise_map)


class Deriving(LineAnalysis):
    def derived(self, instance):
        return {"end": instance.at(X[-1]), "curve": instance.at(X[:4]), "rising": instance.slope > 0.0}


def data():
    return Line(*TRUTH).at(X) + np.random.default_rng(5).normal(0.0, 3.0, 30)


@pytest.fixture
def plan():
    return make_plan(cpm.Model(Line, offset=cpm.UniformPrior(-10.0, 10.0), slope=cpm.GaussianPrior(0.0, 3.0)))


@pytest.fixture
def vectors():
    return np.random.default_rng(1).normal(TRUTH, [1.0, 0.05], size=(4, 500, 2))


def groups_of(plan, analysis, vectors, seed=1, **options):
    groups, notices = predictive_groups(plan, analysis, vectors, np.random.default_rng(seed), **options)
    assert not notices, notices
    return groups


def test_the_arrays_that_differ_from_the_analysis_are_predicted(plan, vectors):
    groups = groups_of(plan, Simulating(data(), np.full(30, 3.0)), vectors)
    assert set(groups) == {"prior", "prior_predictive", "posterior_predictive", "observed_data"}
    predicted = groups["posterior_predictive"]
    assert list(predicted.data_vars) == ["data"] and predicted["data"].shape == (4, 50, 30)
    np.testing.assert_array_equal(groups["observed_data"]["data"], data())
    error = 3.0 / np.sqrt(200)
    np.testing.assert_allclose(predicted["data"].mean(("chain", "draw")), Line(*TRUTH).at(X), atol=5 * error)
    spread = groups["prior_predictive"]["data"].std(("chain", "draw"))
    assert spread[-1] > 60.0, "the prior knows less"
    assert list(groups["prior"].data_vars) == ["offset", "slope"]
    assert groups["prior"].sizes["draw"] == groups["prior_predictive"].sizes["draw"] == 200


def test_predictions_belong_to_the_draws_that_they_are_labelled_with(plan, vectors):
    class Exact(LineAnalysis):
        def simulate(self, instance, rng):
            return instance.at(X)

    groups = groups_of(plan, Exact(data(), np.full(30, 3.0)), vectors, number=20)
    predicted = groups["posterior_predictive"]["data"]
    for chain in predicted.chain.values:
        for draw in predicted.draw.values:
            expected = Line(*vectors[chain, draw]).at(X)
            np.testing.assert_array_equal(predicted.sel(chain=chain, draw=draw), expected)
    prior = groups["prior"]
    expected = prior["offset"].values[..., np.newaxis] + prior["slope"].values[..., np.newaxis] * X
    np.testing.assert_allclose(groups["prior_predictive"]["data"], expected)


@pytest.mark.parametrize(
    "returned, observed",
    [
        (lambda made: made, ["data"]),
        (lambda made: made.tolist(), ["data"]),
        (lambda made: {"data": made, "peak": made.max()}, ["data"]),
        (lambda made: {"half": made[:15]}, []),
    ],
)
def test_an_array_or_a_dict_of_arrays_will_do(returned, observed, plan, vectors):
    class Arrays(LineAnalysis):
        def simulate(self, instance, rng):
            return returned(drawn(instance, rng))

    groups = groups_of(plan, Arrays(data(), np.full(30, 3.0)), vectors, number=8)
    assert list(groups.get("observed_data", [])) == observed
    made = returned(np.zeros(30))
    assert set(groups["posterior_predictive"].data_vars) == (
        set(made) if isinstance(made, dict) else {"data"}
    )


def test_data_inside_of_attributes_are_named_by_their_path(plan, vectors):
    class Dataset:
        def __init__(self, counts):
            self.counts, self.exposure = counts, 3.0

    class Nested(cpm.Analysis):
        def __init__(self, dataset):
            self.dataset = dataset

        def log_likelihood_function(self, instance):
            return 0.0

        def simulate(self, instance, rng):
            return Nested(Dataset(rng.poisson(5.0, 30)))

    groups = groups_of(plan, Nested(Dataset(np.arange(30))), vectors, number=8)
    assert list(groups["observed_data"].data_vars) == ["dataset.counts"]
    assert groups["posterior_predictive"]["dataset.counts"].dtype.kind == "i"


def test_the_same_seed_simulates_the_same_data(plan, vectors):
    analysis = Simulating(data(), np.full(30, 3.0))
    one, same, other = (groups_of(plan, analysis, vectors, seed, number=8) for seed in (1, 1, 2))
    for name in one:
        np.testing.assert_array_equal(one[name].to_array(), same[name].to_array())
    assert not np.array_equal(one["posterior_predictive"]["data"], other["posterior_predictive"]["data"])


def test_large_data_are_simulated_at_fewer_draws(plan, vectors, monkeypatch):
    monkeypatch.setattr(simulated, "MAX_NUMBERS", 300)
    groups = groups_of(plan, Simulating(data(), np.full(30, 3.0)), vectors)
    assert groups["posterior_predictive"]["data"].size <= 300 >= groups["prior_predictive"]["data"].size
    many = np.broadcast_to(vectors[:1, :3], (40, 3, 2))
    few = groups_of(plan, Simulating(data(), np.full(30, 3.0)), many)["posterior_predictive"]
    assert few.sizes["chain"] == 10 and few.sizes["draw"] == 1


def test_where_the_prior_is_impossible_there_are_no_data(plan, vectors):
    class Rising(Simulating):
        def simulate(self, instance, rng):
            if instance.slope < 0.0:
                raise cpm.FitException
            return super().simulate(instance, rng)

    groups = groups_of(plan, Rising(data(), np.full(30, 3.0)), vectors, number=20)
    assert np.all(groups["prior"]["slope"] > 0.0) and groups["prior_predictive"].sizes["draw"] == 20


def test_an_analysis_without_simulate_has_no_groups(plan, vectors):
    assert groups_of(plan, LineAnalysis(data(), np.full(30, 3.0)), vectors) == {}
    with pytest.raises(LikelihoodError, match="cannot simulate"):
        LineAnalysis(data(), 1.0).simulate(Line(), np.random.default_rng(1))


def test_a_fault_after_the_search_loses_no_draws_and_is_told(plan, vectors):
    class Breaks(Simulating):
        def simulate(self, instance, rng):
            if instance.slope > 2.0:
                raise ZeroDivisionError("by the user")
            return super().simulate(instance, rng)

    analysis = Breaks(data(), np.full(30, 3.0))
    groups, notices = predictive_groups(plan, analysis, vectors, np.random.default_rng(1))
    assert groups == {} and len(notices) == 2 and "ZeroDivisionError: by the user" in notices[1]


FAULTS = {
    "the analysis itself": (lambda self, rng: self, "returned the analysis itself"),
    "the same data": (lambda self, rng: type(self)(self.data, self.noise_map), "very data of the analysis"),
    "shapes that vary": (lambda self, rng: {"a": np.zeros(rng.integers(1, 20))}, "with the shapes"),
    "an array unlike the data": (
        lambda self, rng: np.zeros(15),
        "shape (15,) for `data`, which has the shape (30,)",
    ),
    "an attribute of another shape": (lambda self, rng: {"noise_map": np.zeros(15)}, "for `noise_map`"),
    "an analysis with fewer data": (
        lambda self, rng: type(self)(np.zeros(15), self.noise_map),
        "shape (15,) for `data`",
    ),
    "names that vary": (lambda self, rng: {"a": 1.0} if rng.random() < 0.5 else {"b": 1.0}, "at some draws"),
    "text": (lambda self, rng: "data", "no real numbers"),
    "a name that is taken": (lambda self, rng: {"draw": 1.0}, "`draw`"),
}


class Counts(cpm.Analysis):
    def __init__(self, counts, simulated, **others):
        self.counts, self.simulated = counts, simulated
        self.__dict__.update(others)

    def log_likelihood_function(self, instance):
        return 0.0

    def simulate(self, instance, rng):
        return self.simulated(rng)


def normal(*shape):
    return lambda rng: rng.normal(size=shape)


def test_a_single_array_stands_for_the_one_attribute_of_its_shape(plan, vectors):
    groups = groups_of(plan, Counts(X, normal(30), edges=np.arange(31.0)), vectors, number=8)
    np.testing.assert_array_equal(groups["observed_data"]["data"], X)
    assert list(groups["posterior_predictive"].data_vars) == ["data"]
    unknown = Counts(X, normal(30), noise_map=np.ones(30))
    assert "observed_data" not in groups_of(plan, unknown, vectors, number=8), "it may be either"


def test_what_a_single_array_stands_for_is_checked_where_it_is_known(plan):
    with pytest.raises(LikelihoodError, match=r"shape \(7,\) for `counts`, which has the shape \(30,\)"):
        check_extras(plan, Counts(X, normal(7)))
    masked = np.ma.masked_less(X, 5.0)
    for right in (
        Counts(masked, normal(30)),
        Counts(np.ones((30, 3)), normal(30)),
        Counts(X, normal(7), other=np.ones(5)),
        Counts([masked], lambda rng: {"counts.0": rng.normal(size=30)}),
    ):
        check_extras(plan, right)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_data_is_told(fault, plan, vectors):
    returned, text = FAULTS[fault]

    class Wrong(LineAnalysis):
        def simulate(self, instance, rng):
            return returned(self, rng)

    _, notices = predictive_groups(plan, Wrong(data(), np.full(30, 3.0)), vectors, np.random.default_rng(1))
    assert all(text in notice for notice in notices) and len(notices) == 2


# -- derived quantities -----------------------------------------------------------------------------


def test_derived_quantities_are_beside_the_parameters(plan, vectors):
    variables, notices = drawn_variables(plan, Deriving(data(), 3.0), vectors)
    assert list(variables) == ["offset", "slope", "end", "curve", "rising"] and not notices
    offset, slope = vectors[..., 0], vectors[..., 1]
    np.testing.assert_allclose(variables["end"], offset + slope * 29.0)
    np.testing.assert_allclose(variables["curve"], offset[..., np.newaxis] + slope[..., np.newaxis] * X[:4])
    np.testing.assert_array_equal(variables["rising"], slope > 0.0)


BAD_NAMES = {
    "slope": "is the name of a parameter",
    "log_weight": "cannot be the name",
    "a/b": "cannot be the name",
    "nul\0": "cannot be the name",
    "de\u0301": "cannot be the name",
    "half\ud800": "cannot be the name",
    " blank": "cannot be the name",
    "x" * 201: "cannot be the name",
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_taken_are_refused_before_the_search(name, plan):
    class Taken(LineAnalysis):
        def derived(self, instance):
            return {name: 1.0}

    with pytest.raises(LikelihoodError, match=re.escape(f"{name}: {BAD_NAMES[name]}")):
        check_extras(plan, Taken(data(), 3.0))


def test_quantities_that_are_nan_at_some_draws_are_told_with_their_number(plan, vectors):
    class Partly(LineAnalysis):
        def derived(self, instance):
            return {"root": np.sqrt(instance.slope - TRUTH[1]), "slopes": 2.0 * instance.slope}

    _, notices = drawn_variables(plan, Partly(data(), 3.0), vectors)
    missing = np.count_nonzero(vectors[..., 1] < TRUTH[1])
    (notice,) = notices
    assert f"`root` of `derived` has no value at {missing} of 2000 draws" in notice


@pytest.mark.parametrize("made", [None, np.zeros((30, 1))])
def test_simulate_that_returns_nothing_or_another_shape_is_told_in_words(plan, made):
    class Wrong(LineAnalysis):
        def simulate(self, instance, rng):
            return made

    words = (
        "returned None" if made is None else r"has the shape \(30,\) in the analysis: one of the two is wrong"
    )
    with pytest.raises(LikelihoodError, match=words):
        check_extras(plan, Wrong(data(), 3.0))


@pytest.mark.parametrize("returned", [1.0, {"a": "text"}, {"a": [[1.0], [1.0, 2.0]]}, {1: 2.0}])
def test_what_is_no_dict_of_numbers_is_refused_before_the_search(returned, plan):
    class Wrong(LineAnalysis):
        def derived(self, instance):
            return returned

    with pytest.raises(LikelihoodError, match="by name"):
        check_extras(plan, Wrong(data(), 3.0))


def test_a_quantity_that_fails_at_some_draws_is_nan_there_and_told(plan, vectors):
    class Sometimes(LineAnalysis):
        def derived(self, instance):
            if instance.slope > 2.0:
                raise ZeroDivisionError("by the user")
            return {"twice": 2.0 * instance.slope}

    variables, notices = drawn_variables(plan, Sometimes(data(), 3.0), np.concatenate([vectors, -vectors]))
    wrong = np.concatenate([vectors, -vectors])[..., 1] > 2.0
    np.testing.assert_array_equal(np.isnan(variables["twice"]), wrong)
    assert f"failed at {wrong.sum()} of 4000 draws" in notices[0] and "ZeroDivisionError" in notices[0]


def test_derived_quantities_are_deterministics_of_the_pymc_model(plan):
    model = cpm.to_pymc(plan.layout.root, Deriving(data(), 3.0))
    assert [variable.name for variable in model.deterministics] == ["end", "curve", "rising"]
    function = model.compile_fn(model.deterministics, inputs=model.free_RVs, point_fn=False)
    end, curve, rising = function(1.0, 2.0)
    assert end == 59.0 and rising == 1.0
    np.testing.assert_array_equal(curve, [1.0, 3.0, 5.0, 7.0])
    assert not any("BlackBox" in type(node.owner.op).__name__ for node in [model["end"]])


def test_a_fit_has_its_groups_and_quantities_and_so_has_the_catalogue(tmp_path):
    class Both(Simulating, Deriving):
        pass

    model = cpm.Model(Line, offset=cpm.UniformPrior(-10.0, 10.0), slope=cpm.GaussianPrior(0.0, 3.0))
    analysis, catalog = Both(data(), np.full(30, 3.0)), tmp_path / "fits.sqlite"
    search = cpm.Emcee(nwalkers=10, nsteps=200, random_seed=1)
    result = search.fit(model, analysis, catalog=catalog)
    again = search.fit(model, analysis, catalog=catalog)
    assert again.from_catalog
    for fit in (result, again):
        assert fit.idata["observed_data"]["data"].shape == (30,)
        assert fit.idata["posterior_predictive"].sizes["chain"] == 10
        table = fit.summary()
        assert list(table.index)[2:4] == ["end", "curve[0]"]
        ends = table["mean"]["offset"] + 29.0 * table["mean"]["slope"]
        assert table["mean"]["end"] == pytest.approx(ends)
        fit.plot_fit()
    assert not any("rising" in notice for notice in result.notices), "what is derived may well be constant"
    with cpm.Catalog(catalog) as store:
        (stored,) = store
        roles = {parameter.path: parameter.role for parameter in stored.record.parameters}
    assert roles["end"] == "derived" and roles["slope"] == "free"
    assert "data_hash" in result.attributes
