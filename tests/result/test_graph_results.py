"""The result of a graph of factors: of the whole, and of each data set as of a fit of its own."""

import dataclasses
import inspect

import matplotlib
import numpy as np
import pymc as pm
import pytest
from pytensor.compile.mode import Mode

import classy_pm as cpm
from classy_pm.catalog.results import variable_of
from classy_pm.errors import ClassyError, LikelihoodError, UnknownNameError
from classy_pm.likelihood import LogLikelihood
from classy_pm.likelihood.joint import analysis_of
from classy_pm.model import OneFactor
from classy_pm.model.along_plates import along
from classy_pm.plan import make_plan
from classy_pm.result import GraphResult, Result, Samples, graphs
from classy_pm.search.identity import Identity
from classy_pm.search.paths import Onlooker
from classy_pm.search.predictive import check_extras, drawn_variables

matplotlib.use("Agg")
NAMES = ("a", "b", "c")
X = np.arange(6.0)
SIZES = (6, 6, 5)


class Line:
    def __init__(self, offset=0.0, slope=0.0):
        self.offset, self.slope = offset, slope

    def at(self, x):
        return self.offset + self.slope * x


class Lines(cpm.Analysis):
    """A line through points, with all that an analysis may have."""

    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, instance):
        return float(np.sum(self.log_likelihood_pointwise(instance)))

    def log_likelihood_pointwise(self, instance):
        return -0.5 * (self.data - instance.line.at(X[: self.data.size])) ** 2

    def log_likelihood_gradient(self, instance):
        residuals = self.data - instance.line.at(X[: self.data.size])
        # In the order of the paths: the mean of the offsets, the offset, the slope.
        return np.array([0.0, np.sum(residuals), np.sum(residuals * X[: self.data.size])])

    def simulate(self, instance, rng):
        return {"data": rng.normal(instance.line.at(X[: self.data.size]), 1.0), "level": instance.line.offset}

    def derived(self, instance):
        return {"end": instance.line.at(X[-1]), "ends": instance.line.at(X[[0, -1]])}

    def visualize(self, paths, instance):
        (paths.image_path / "line.txt").write_text(f"{instance.line.slope}")
        if self.data.size == 5:
            raise ValueError("no more")

    def save_attributes(self, paths):
        paths.save("data", self.data)
        paths.save("about", {"size": self.data.size})


def make_graph(analyses=None):
    rng = np.random.default_rng(2)
    parent, slope = cpm.GaussianPrior(0.0, 5.0), cpm.UniformPrior(-3.0, 3.0)
    factors = []
    for place, (name, size) in enumerate(zip(NAMES, SIZES, strict=True)):
        data = Line(place - 1.0, 0.5).at(X[:size]) + rng.normal(0.0, 1.0, size)
        model = cpm.Collection(line=cpm.Model(Line, offset=cpm.GaussianPrior(parent, 2.0), slope=slope))
        factors.append(cpm.AnalysisFactor(model, (analyses or {}).get(name, Lines)(data), name=name))
    return cpm.FactorGraphModel(*factors)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fits")


def fit(folder):
    search = cpm.Emcee(nwalkers=12, nsteps=120, random_seed=1, progress=False)
    return search.fit(make_graph(), catalog=folder / "fits.sqlite")


@pytest.fixture(scope="module")
def fresh(folder):
    return fit(folder)


@pytest.fixture(scope="module", params=["run", "read", "aggregator"])
def result(request, folder, fresh):
    """The fit as its search gave it, as it is found again, and as a catalogue gives it."""
    if request.param == "run":
        return fresh
    if request.param == "read":
        again = fit(folder)
        assert again.from_catalog
        return again
    aggregator = cpm.Aggregator.from_database(folder / "fits.sqlite").register(Line)
    (read,) = aggregator.values("result")
    return read


def test_the_result_of_a_data_set_is_that_of_a_fit_of_its_own(result):
    assert isinstance(result, GraphResult) and result.factor_names == NAMES and len(result) == 3
    whole = result.idata["posterior"]
    analyses = analysis_of(make_graph(), None, "").analyses
    for place, (name, one) in enumerate(zip(NAMES, result, strict=True)):
        assert type(one) is Result
        assert one.samples.names == ["line.offset.mean", "line.offset", "line.slope"]
        posterior = one.idata["posterior"]
        for parameter in ("line.offset.mean", "line.slope"):
            np.testing.assert_array_equal(posterior[parameter], whole[parameter])
        np.testing.assert_array_equal(posterior["line.offset"], whole["line.offset"].sel(dataset=name))
        assert posterior["line.offset"].dims == ("chain", "draw")
        instances = list(one.samples.instances())
        expected = [analyses[name].log_likelihood_function(instance) for instance in instances]
        np.testing.assert_allclose(one.samples.log_likelihood_list, expected, rtol=1e-10)
        assert isinstance(one.instance.line, Line) and one.samples.max_log_likelihood == max(expected)
        np.testing.assert_allclose(one.idata["log_likelihood"]["likelihood"].sum("likelihood_term"),
                                   one.idata["sample_stats"]["total_log_likelihood"])  # fmt: skip
        assert one.idata["log_likelihood"].sizes["likelihood_term"] == SIZES[place]
        prior = make_plan(OneFactor.of(make_plan(make_graph()).layout, name).model).log_prior
        np.testing.assert_allclose(one.samples.log_prior_list, prior(one.samples.vectors))
        assert one.log_evidence is None and "one of 3" in one.info


def test_data_sets_are_found_by_name_and_by_number(result):
    def vectors(which):
        return result[which].samples.vectors

    np.testing.assert_array_equal(vectors("c"), vectors(2))
    np.testing.assert_array_equal(vectors(-1), vectors(np.int64(2)))
    for wrong, text in (("d", "named 'd'"), (3, "no data set 3; there are 3"), (1.5, "no data set 1.5")):
        with pytest.raises(UnknownNameError, match=text):
            result[wrong]


def test_a_catalogue_is_asked_for_elements_by_their_data_sets(folder, fresh):
    aggregator = cpm.Aggregator.from_database(folder / "fits.sqlite")
    offsets = fresh.idata["posterior"]["line.offset"]
    middle = float(np.median(offsets.sel(dataset="c")))
    for path in (aggregator.line.offset["c"], aggregator.line.offset["c"].median, aggregator.line.offset[2]):
        assert len(aggregator.query(path > middle - 0.01)) == 1
        assert len(aggregator.query(path > middle + 0.01)) == 0
    assert (
        len(aggregator.query(aggregator.ends["b", 1].exists(), aggregator.model["ends"][1, 1] > -99.0)) == 1
    )
    for name, expected in {
        "line.offset[c]": offsets.sel(dataset="c"),
        "line.offset[2]": offsets.sel(dataset="c"),
        "ends[b,1]": fresh.idata["posterior"]["ends"].sel(dataset="b")[..., 1],
    }.items():
        (values,) = aggregator.values(name)
        np.testing.assert_array_equal(values, expected)
    # It is one parameter, not two.
    assert [name for name in aggregator.summary().columns if "offset[" in name] == [
        "line.offset[0]",
        "line.offset[1]",
        "line.offset[2]",
    ]


def test_an_element_of_no_data_set_is_told_with_those_that_there_are(folder, fresh):
    aggregator = cpm.Aggregator.from_database(folder / "fits.sqlite")
    for mistake in (
        lambda: aggregator.values("line.offset[d]"),
        lambda: aggregator.query(aggregator.line.offset["d"] > 0.0),
        lambda: aggregator.query(aggregator.line.offset["d"].mean > 0.0),
    ):
        with pytest.raises(
            UnknownNameError, match=r"`line\.offset\[d\]`\.\nDid you mean `line\.offset\[.\]`"
        ):
            mistake()
    for mistake in (
        lambda: aggregator.values("c.line.offset"),
        lambda: aggregator.query(aggregator.c.line.offset > 0.0),
    ):
        with pytest.raises(UnknownNameError, match=r"of one data set is `line\.offset\[c\]`"):
            mistake()


def test_elements_that_are_not_in_the_index_by_name_are_read_by_name(folder, fresh, tmp_path):
    """As of a graph of very many data sets."""
    (stored,) = cpm.Aggregator.from_database(folder / "fits.sqlite")
    with cpm.Catalog(tmp_path / "other.sqlite") as other:
        other.file(dataclasses.replace(stored.record, aliases={}), stored.tree())
        aggregator = cpm.Aggregator(other)
        (values,) = aggregator.values("line.offset[c]")
        np.testing.assert_array_equal(values, fresh.idata["posterior"]["line.offset"].sel(dataset="c"))
        with pytest.raises(UnknownNameError, match=r"`line\.offset\[d\]`"):
            aggregator.values("line.offset[d]")
        with pytest.raises(
            UnknownNameError, match=r"has no `line\.offset\[d\]`: .*\nKnown names: `a`, `b`, `c`"
        ):
            variable_of(aggregator.one(), "line.offset[d]")


def test_elements_are_named_by_the_data_sets(result):
    names = ["line.offset.mean", *(f"line.offset[{name}]" for name in NAMES), "line.slope"]
    assert result.samples.names == names
    assert list(result.summary().index)[:5] == names and "end[b]" in result.summary().index
    assert "line.offset[b]" in result.info and "end[b]" in result.info
    assert "line.offset[b]" in result._repr_html_()


def test_what_is_derived_is_along_the_plate_and_of_each_data_set(result):
    posterior = result.idata["posterior"]
    assert posterior["end"].dims == ("chain", "draw", "dataset")
    assert posterior["ends"].dims == ("chain", "draw", "dataset", "ends_dim_0")
    end = posterior["line.offset"] + posterior["line.slope"] * X[-1]
    np.testing.assert_allclose(posterior["end"], end)
    np.testing.assert_allclose(result["b"].idata["posterior"]["end"], end.sel(dataset="b"))
    assert result["b"].idata["posterior"]["ends"].shape[2:] == (2,)


def test_simulated_data_are_along_the_plate_where_their_shapes_agree(result):
    predicted, observed = result.idata["posterior_predictive"], result.idata["observed_data"]
    assert predicted["level"].dims == ("chain", "draw", "dataset")
    assert {name: predicted[f"{name}.data"].shape[2:] for name in NAMES} == {"a": (6,), "b": (6,), "c": (5,)}
    assert list(observed.data_vars) == ["a.data", "b.data", "c.data"]
    for one, size in zip(result, SIZES, strict=True):
        assert one.idata["posterior_predictive"]["data"].shape[2:] == (size,)
        assert one.idata["observed_data"]["data"].shape == (size,)
        prior, level = one.idata["prior"], one.idata["prior_predictive"]["level"]
        np.testing.assert_allclose(level, prior["line.offset"])


def test_what_is_saved_is_by_data_set(result):
    assert result.saved["c.about"] == {"size": 5} and result["c"].saved["about"] == {"size": 5}
    np.testing.assert_array_equal(result["c"].saved["data"], make_graph().factors[2].analysis.data)


def test_pictures_are_in_a_folder_of_each_data_set(folder, fresh, caplog):
    pictures = sorted(path.parent.parent.name for path in folder.rglob("line.txt"))
    assert pictures == list(NAMES), "that one of them fails leaves the others theirs"


# Of so few draws Pareto's k is noisy.
@pytest.mark.filterwarnings("ignore:LOO cannot be trusted:UserWarning")
def test_all_that_a_result_has_works_for_a_graph_and_for_its_data_sets(fresh):
    calls = {"plot_corner": [("line.offset",)], "plot_trace": [("line.slope",)]}
    methods = ("model_bounded", "model_centred_absolute", "model_centred_relative")
    calls |= {name: [(0.1,)] for name in methods}
    labels = set()
    for one in (fresh, fresh["a"]):
        for name, item in inspect.getmembers(type(one)):
            if name.startswith("_"):
                continue
            found = getattr(one, name)
            if callable(found) and not inspect.isclass(found) and inspect.isfunction(item):
                for arguments in calls.get(name, [()]):
                    made = found(*arguments)
                    assert made is not None
                    labels |= {axes.get_xlabel() for axes in made.axes} if name == "plot_corner" else set()
        samples = one.samples
        arguments = {
            **dict.fromkeys(("vector_at_lower_sigma", "vector_at_upper_sigma"), (1.0,)),
            **dict.fromkeys(("values_at_sigma", "errors_at_sigma"), (1.0,)),
            **dict.fromkeys(("drawn_randomly", "thinned", "without_burn_in"), (2,)),
            **dict.fromkeys(("with_paths", "without_paths"), ("line.slope",)),
            "samples_above_weight_threshold": (0.0,),
            "instance_from": (samples.median_pdf_vector,),
        }
        for name, item in inspect.getmembers(Samples):
            if not name.startswith("_"):
                found = getattr(samples, name)
                assert (
                    found(*arguments.get(name, ())) if inspect.isfunction(item) else found
                ) is not None or (name == "log_evidence")
    assert {"line.offset\na", "line.offset\nc", "line.offset"} <= labels


def test_a_part_of_the_samples_keeps_the_names_of_data_sets(result):
    part = result.samples.with_paths("line.offset")
    assert part.names == ["line.offset.mean", *(f"line.offset[{name}]" for name in NAMES)]
    np.testing.assert_array_equal(part.vectors, result.samples.vectors[:, :4])
    with pytest.raises(ClassyError, match="result\\[name\\]"):
        next(part.instances())


def test_the_model_of_a_result_from_a_catalogue_is_a_graph_without_analyses(result):
    graph = result.model
    assert graph.total_free_parameters == 5 and len(graph.factors) in (0, 3)
    assert list(make_plan(graph).names) == ["line.offset.mean", "line.offset", "line.slope"]


def test_the_model_of_a_result_is_the_graph_again(fresh):
    graph = fresh.model
    assert isinstance(graph, cpm.FactorGraphModel) and graph.total_free_parameters == 5
    assert [factor.prior_model is graph[factor.name] for factor in graph.factors] == [True] * 3
    slopes = {graph[name].line.slope for name in NAMES}
    (slope,) = slopes
    index = fresh.samples.names.index("line.slope")
    assert slope.arguments["mean"] == fresh.samples.median_pdf_vector[index]
    plan = make_plan(graph)
    assert list(plan.names) == ["line.offset.mean", "line.offset", "line.slope"]
    joint = analysis_of(graph, None, "")
    assert np.isfinite(joint.log_likelihood_function(plan.instance(plan.draws(1, 1)[0])))
    own = fresh["b"].model
    assert own.line.slope.arguments["mean"] == slope.arguments["mean"]
    assert own.total_free_parameters == 3
    # What is drawn from a parent stays so, with the posterior of the parent.
    assert own.line.offset.arguments["mean"].arguments["mean"] == fresh.samples.median_pdf_vector[0]


def test_a_data_set_of_a_graph_is_compared_with_a_fit_of_it_alone(fresh):
    graph = make_graph()
    analysis = graph.factors[0].analysis
    alone = Identity.of(cpm.Emcee(), make_plan(graph["a"]), analysis)
    assert fresh["a"].attributes["data_hash"] == alone.hashes["observed"]
    with pytest.raises(ClassyError, match="not of the same data"):
        cpm.compare({"a": fresh["a"], "b": fresh["b"]})


def test_the_gradient_of_a_graph_is_put_together_from_those_of_its_analyses():
    graph = make_graph()
    check = cpm.check_gradient(graph)
    assert check.names == make_plan(graph).element_names and check.worst < 1e-6


class Offset(cpm.Analysis):
    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, instance):
        if instance.offset > 5.0:
            raise cpm.FitException
        return -0.5 * np.sum((self.data - instance.offset) ** 2)

    def derived(self, instance):
        return {"end": instance.offset}

    def simulate(self, instance, rng):
        return instance.offset + rng.normal(size=self.data.size)


def two_kinds():
    rng = np.random.default_rng(4)
    skies = [
        cpm.AnalysisFactor(
            cpm.Collection(offset=cpm.GaussianPrior(0.0, 3.0)), Offset(rng.normal(size=4)), name
        )
        for name in ("sky", "night")
    ]
    return cpm.FactorGraphModel(skies[0], *make_graph().factors, skies[1])


def test_several_kinds_of_data_sets_have_results_of_their_own():
    result = cpm.Emcee(nwalkers=16, nsteps=40, random_seed=1, progress=False).fit(two_kinds())
    assert result.factor_names == ("sky", "a", "b", "c", "night")
    assert result.idata["sample_stats"]["factor_log_likelihood"].dims == ("chain", "draw", "factor")
    total = sum(one.idata["sample_stats"]["total_log_likelihood"] for one in result)
    np.testing.assert_allclose(total, result.idata["sample_stats"]["total_log_likelihood"])
    posterior = result.idata["posterior"]
    assert posterior["plate_0.end"].dims == ("chain", "draw", "plate_0")
    assert posterior["plate_1.end"].dims == ("chain", "draw", "plate_1")
    night, b = result["night"], result["b"]
    assert night.samples.names == ["offset"] and b.samples.names[1:] == ["line.offset", "line.slope"]
    np.testing.assert_array_equal(
        night.idata["posterior"]["end"], posterior["plate_0.end"].sel(plate_0="night")
    )
    np.testing.assert_array_equal(b.idata["posterior"]["end"], posterior["plate_1.end"].sel(plate_1="b"))
    assert result.idata["posterior_predictive"]["plate_0.data"].dims[2:] == ("plate_0", "plate_0.data_dim_0")
    assert night.idata["observed_data"]["data"].shape == (4,)
    result.plot_fit("plate_0.data")
    assert result.samples.names[0] == "plate_0.offset[sky]"


def test_where_one_data_set_is_impossible_all_are():
    graph = two_kinds()
    plan = make_plan(graph)
    log_likelihood = LogLikelihood(plan, analysis_of(graph, None, ""))
    vector = plan.draws(1, random_seed=1)[0]
    vector[plan.element_names.index("plate_0.offset[night]")] = 0.0
    assert np.isfinite(log_likelihood(vector))
    vector[plan.element_names.index("plate_0.offset[night]")] = 6.0
    assert log_likelihood(vector) == -np.inf


def test_a_picture_that_cannot_be_read_is_refused(fresh, monkeypatch):
    for name in ("MOST_IN_CORNER", "MOST_IN_TRACE", "MOST_IN_FIT"):
        monkeypatch.setattr(graphs, name, 2)
    for plot in (fresh.plot_corner, fresh.plot_trace, fresh.plot_fit):
        with pytest.raises(ClassyError, match=r"Write result\['a'\]\.plot_"):
            plot()


def test_pictures_that_take_long_leave_the_fit_its_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("classy_pm.search.paths.time.monotonic", lambda: now[0])
    drawn = []

    class Slow(Lines):
        def visualize(self, paths, instance):
            drawn.append(now[0])
            now[0] += 5.0

    graph = make_graph({"a": Slow})
    plan = make_plan(graph)
    onlooker = Onlooker(plan, analysis_of(graph, None, ""), tmp_path, 1.0)
    for vector in np.linspace(-1.0, 0.0, 200)[:, np.newaxis] * np.ones(plan.size):
        now[0] += 1.0
        onlooker.see(vector[np.newaxis], np.array([vector[0]]))
    gaps = np.diff(drawn)
    assert len(drawn) > 2 and np.all(gaps >= 5.0 + 50.0) and np.all(gaps <= 5.0 + 51.0)


# -- rules ------------------------------------------------------------------------------------------


def test_what_not_all_data_sets_have_alike_is_a_variable_of_each():
    layout = make_plan(make_graph()).layout
    shapes = {"a": {"x": (), "y": (2,)}, "b": {"x": (), "y": (3,)}, "c": {"x": ()}}
    found = {item.name: (item.factors, item.dim, item.shape) for item in along(layout, shapes)}
    assert found == {"x": (NAMES, "dataset", ()), "a.y": (("a",), None, (2,)), "b.y": (("b",), None, (3,))}


class Broken(Lines):
    def derived(self, instance):
        return {"line.slope": 1.0}


class Refusing(Lines):
    def derived(self, instance):
        if instance.line.offset > 0.0:
            raise cpm.FitException
        return {"end": 1.0}


class Raising(Lines):
    def derived(self, instance):
        raise ZeroDivisionError("by the user")


class Impossible(Lines):
    def derived(self, instance):
        raise cpm.FitException


class Nothing(Lines):
    def simulate(self, instance, rng):
        return None


def test_faults_name_the_data_set():
    def check(analyses):
        graph = make_graph(analyses)
        check_extras(make_plan(graph), analysis_of(graph, None, ""))

    with pytest.raises(LikelihoodError, match=r"line\.slope: is the name of a parameter"):
        check(dict.fromkeys(NAMES, Broken))
    with pytest.raises(LikelihoodError, match=r"a, c: Nothing\.simulate returned None"):
        check({"a": Nothing, "c": Nothing})
    with pytest.raises(ZeroDivisionError) as caught:
        check(dict.fromkeys(NAMES, Raising))
    assert "This is the data set a." in caught.value.__notes__
    with pytest.raises(LikelihoodError, match="for all data sets"):
        check(dict.fromkeys(NAMES, Impossible))


def drawn(graph):
    """What is derived at draws from the prior, and the notices."""
    plan = make_plan(graph)
    return drawn_variables(plan, analysis_of(graph, None, ""), plan.draws(50, random_seed=3))


@pytest.mark.parametrize("kind", ["Raising", "Impossible"])
def test_where_one_data_set_always_raises_its_elements_are_nan_and_a_notice_says_so(kind):
    variables, notices = drawn(make_graph({"b": globals()[kind]}))
    for name in ("end", "ends"):
        missing = np.isnan(variables[name]).reshape(50, 3, -1)
        assert np.all(missing[:, 1]) and not np.any(missing[:, [0, 2]])
    if kind == "Raising":
        (notice,) = notices
        assert notice == (
            "`derived` of b failed at 50 of 50 draws, where `end`, `ends` are NaN. "
            "The first time: ZeroDivisionError: by the user"
        )
    else:
        assert notices[0].startswith(
            "`end` of `derived` of b has no value at 50 of 50 draws, at 50 of them because of FitException"
        )


def test_a_data_set_of_its_own_kind_that_always_raises_is_left_out_aloud():
    class Other(Offset):
        def derived(self, instance):
            raise KeyError("depth")

    sky = cpm.AnalysisFactor(
        cpm.Collection(offset=cpm.GaussianPrior(0.0, 3.0)), Other(np.zeros(4)), name="sky"
    )
    variables, notices = drawn(cpm.FactorGraphModel(sky, *make_graph().factors))
    assert not np.any(np.isnan(variables["plate_1.end"])) and "plate_0.end" not in variables
    (notice,) = notices
    assert notice == (
        "`derived` of sky was left out: it failed at 10 draws from the prior. "
        "The first time: KeyError: 'depth'"
    )


def test_that_a_data_set_always_raises_is_told_with_a_model_of_pymc():
    with pytest.warns(UserWarning, match="`derived` of b raises at all draws from the prior, and is NaN"):
        pymc_model = cpm.to_pymc(make_graph({"b": Raising}), likelihood="blackbox")
    end = pymc_model.compile_fn(
        pymc_model["end"], inputs=pymc_model.free_RVs, point_fn=False, mode=Mode(linker="py", optimizer=None)
    )(0.0, np.array([1.0, 2.0, 3.0]), 0.5)
    np.testing.assert_array_equal(end, [3.5, np.nan, 5.5])


def test_what_one_data_set_cannot_derive_the_others_still_do():
    graph = make_graph({"b": Refusing})
    plan = make_plan(graph)
    variables, notices = drawn(graph)
    vectors = plan.draws(50, random_seed=3)
    offsets = vectors[:, plan.element_names.index("line.offset[b]")]
    np.testing.assert_array_equal(
        np.isnan(variables["end"]), np.stack([0 * offsets, offsets > 0, 0 * offsets], -1)
    )
    assert any("`end` of `derived` of b has no value" in notice for notice in notices)


def test_what_is_derived_is_deterministic_in_pymc_along_the_plate():
    class Some(Lines):
        def derived(self, instance):
            return {**super().derived(instance), "twice": 2.0 * instance.line.slope}

    graph = make_graph({"b": Some})
    pymc_model = cpm.to_pymc(graph, likelihood="blackbox")
    assert "dataset (3)" in pm.model_to_mermaid(pymc_model)
    dims = pymc_model.named_vars_to_dims
    assert dims["end"] == ("dataset",) and dims["ends"] == ("dataset", None) and "b.twice" not in dims
    assert [variable.name for variable in pymc_model.deterministics] == ["end", "ends", "b.twice"]
    mode = Mode(linker="py", optimizer="fast_compile")
    function = pymc_model.compile_fn(
        pymc_model.deterministics, inputs=pymc_model.free_RVs, point_fn=False, mode=mode
    )
    offsets, slope = np.array([1.0, 2.0, 3.0]), 0.5
    end, ends, twice = function(0.0, offsets, slope)
    np.testing.assert_allclose(end, offsets + slope * X[-1])
    np.testing.assert_allclose(ends, np.stack([offsets, end], axis=-1))
    assert twice == 1.0


def test_a_likelihood_that_is_no_number_or_raises_is_told_with_its_data_set():
    class Array(Lines):
        def log_likelihood_function(self, instance):
            return self.log_likelihood_pointwise(instance)

    class Raises(Lines):
        def log_likelihood_function(self, instance):
            raise ZeroDivisionError("by the user")

    def call(kind):
        graph = make_graph({"b": kind})
        plan = make_plan(graph)
        return LogLikelihood(plan, analysis_of(graph, None, ""))(plan.draws(1, random_seed=0)[0])

    with pytest.raises(LikelihoodError, match=r"b: Array\.log_likelihood_function returned an array"):
        call(Array)
    with pytest.raises(ZeroDivisionError) as caught:
        call(Raises)
    assert caught.value.__notes__[0] == "This is the data set b."
