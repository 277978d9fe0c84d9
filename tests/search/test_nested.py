"""Nested searches on posteriors and evidences that are known."""

import sys
import warnings

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from known_posterior import LOG_EVIDENCE, MEAN, SD, Normal, Point, normal_model

import classy_pm as cpm
from classy_pm.errors import SearchError, SettingError
from classy_pm.plan import make_plan
from classy_pm.search import nested


class NotBelow(Normal):
    """It is impossible in a part of the prior."""

    def __init__(self, limit):
        self.limit = limit

    def log_likelihood_function(self, instance):
        if instance.x < self.limit:
            raise cpm.FitException
        return super().log_likelihood_function(instance)


class Banana(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return -0.5 * ((instance.y - instance.x**2) / 0.2) ** 2 - 0.5 * (instance.x / 0.7) ** 2


def quick(kind, seed=1, **settings):
    """Return a search of this kind that takes a second or two; what it asks of the likelihood is little."""
    usual = {
        "Nautilus": {"n_live": 300, "n_eff": 1000, "n_networks": 0},
        "DynestyStatic": {"nlive": 150},
        "DynestyDynamic": {"nlive": 100, "n_effective": 1000},
    }[kind]
    return getattr(cpm, kind)(random_seed=seed, **{"likelihood": "blackbox", **usual, **settings})


class Angle:
    def __init__(self, phase=0.0, width=1.0):
        self.phase, self.width = phase, width


class Phase(cpm.Analysis):
    """The angle is zero, which is also a full turn."""

    def log_likelihood_function(self, instance):
        return 30.0 * np.cos(instance.phase) - 0.5 * ((instance.width - 0.5) / 0.1) ** 2


def angle_model():
    return cpm.Model(Angle, phase=cpm.UniformPrior(0.0, 2.0 * np.pi), width=cpm.UniformPrior(0.0, 1.0))


ANGLE_EVIDENCE = np.log(scipy.special.ive(0, 30.0)) + 30.0 + np.log(0.1 * np.sqrt(2.0 * np.pi))

KINDS = ("Nautilus", "DynestyStatic", "DynestyDynamic")
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module", params=KINDS)
def result(request):
    settings = {"n_networks": 2} if request.param == "Nautilus" else {}
    return quick(request.param, **settings).fit(normal_model(), Normal())


def assert_evidence(result, log_evidence):
    assert abs(result.log_evidence - log_evidence) < 4.0 * result.log_evidence_error
    assert 0.0 < result.log_evidence_error < 0.5


def test_the_evidence_is_the_known_one(result):
    assert_evidence(result, LOG_EVIDENCE)


def test_the_posterior_is_the_known_one(result):
    table = result.summary()
    for name, mean, sd in [("x", MEAN, SD), ("y", 1.0, 2.0)]:
        error = sd / np.sqrt(table["ess"][name])
        assert abs(table["mean"][name] - mean) < 4.0 * error
        assert abs(table["sd"][name] - sd) < 4.0 * error


def test_one_sigma_holds_the_probability_of_one_sigma(result):
    samples = result.samples
    for sigma, probability in [(1.0, 0.682689), (2.0, 0.9545)]:
        lower, upper = samples.vector_at_lower_sigma(sigma), samples.vector_at_upper_sigma(sigma)
        held = np.diff(scipy.stats.norm.cdf([lower, upper], [MEAN, 1.0], [SD, 2.0]), axis=0)
        error = np.sqrt(probability * (1.0 - probability) / result.idata["posterior"].sizes["draw"])
        np.testing.assert_allclose(held, probability * np.ones((1, 2)), atol=4.0 * error)


def test_each_draw_has_its_own_log_likelihood_and_prior(result):
    model = normal_model()
    posterior, stats = result.idata["posterior"], result.idata["sample_stats"]
    weighted = result.idata["weighted_posterior"]
    for draws, log_likelihood in [
        (posterior, stats["total_log_likelihood"]),
        (weighted, weighted["total_log_likelihood"]),
    ]:
        expected = -0.5 * ((draws["x"] - MEAN) / SD) ** 2
        np.testing.assert_allclose(log_likelihood, expected, rtol=1e-12, atol=1e-12)
    expected = model.x.logpdf(weighted["x"].values) + model.y.logpdf(weighted["y"].values)
    np.testing.assert_allclose(weighted["log_prior"], expected, atol=1e-12)


def test_draws_of_equal_weight_have_the_quantiles_of_the_weighted_ones(result):
    weighted, posterior = result.idata["weighted_posterior"], result.idata["posterior"]
    weights = np.exp(weighted["log_weight"].values)
    assert weights.sum() == pytest.approx(1.0)
    size = posterior.sizes["draw"]
    assert size == int(1.0 / np.sum(weights**2))
    for name in ("x", "y"):
        order = np.argsort(weighted[name].values)
        below = np.cumsum(weights[order])
        for probability in (0.1, 0.5, 0.9):
            quantile = weighted[name].values[order][np.searchsorted(below, probability)]
            part = float(np.mean(posterior[name] < quantile))
            assert abs(part - probability) < 4.0 * np.sqrt(probability * (1.0 - probability) / size)


def test_a_good_fit_has_no_notices(result):
    assert result.notices == []


@each_kind
def test_an_assertion_takes_its_part_of_the_evidence_away(kind):
    model = normal_model()
    model.add_assertion(model.x < 3.2)
    model.add_assertion(model.y > model.x)

    def density(y, x):
        return np.exp(-0.5 * ((x - MEAN) / SD) ** 2) / 100.0 * scipy.stats.norm.pdf(y, 1.0, 2.0)

    evidence, _ = scipy.integrate.dblquad(density, 0.0, 3.2, lambda x: x, 15.0)
    result = quick(kind).fit(model, Normal())
    assert_evidence(result, np.log(evidence))
    draws = result.idata["posterior"]
    assert np.all(draws["x"] < 3.2) and np.all(draws["y"] > draws["x"])


@each_kind
def test_an_impossible_half_of_the_prior_takes_its_part_of_the_evidence_away(kind):
    result = quick(kind).fit(normal_model(), NotBelow(MEAN))
    assert_evidence(result, LOG_EVIDENCE + np.log(0.5))
    assert float(result.idata["posterior"]["x"].min()) >= MEAN
    assert np.all(np.isfinite(result.idata["weighted_posterior"]["total_log_likelihood"]))


@each_kind
def test_a_prior_that_depends_on_a_parameter(kind):
    model = cpm.Model(Point, y=cpm.GaussianPrior(0.0, 3.0))
    model.x = cpm.GaussianPrior(mean=model.y, sigma=1.0)
    # On the unit cube this posterior is curved: without a network Nautilus takes ten times the calls.
    settings = {"Nautilus": {"n_networks": 1}, "DynestyDynamic": {"nlive": 60, "n_effective": 500}}
    result = quick(kind, **settings.get(kind, {})).fit(model, Normal())
    marginal = scipy.stats.norm.logpdf(MEAN, 0.0, np.sqrt(10.0 + SD**2))
    assert_evidence(result, np.log(SD * np.sqrt(2.0 * np.pi)) + marginal)
    table = result.summary()
    # Of y given the data: a normal prior of variance 9, and a measurement of variance 1 + SD**2.
    variance = 1.0 / (1.0 / 9.0 + 1.0 / (1.0 + SD**2))
    mean = variance * MEAN / (1.0 + SD**2)
    assert abs(table["mean"]["y"] - mean) < 4.0 * np.sqrt(variance / table["ess"]["y"])


@each_kind
def test_a_lone_parameter(kind):
    result = quick(kind).fit(cpm.Model(Point, x=cpm.UniformPrior(-50.0, 50.0), y=0.0), Normal())
    assert_evidence(result, LOG_EVIDENCE)
    assert next(iter(result.idata["weighted_posterior"].data_vars)) == "x"


@each_kind
def test_the_same_seed_gives_the_same_draws_and_another_gives_others(kind):
    settings = (
        {"n_networks": 1, "n_live": 100, "n_like_max": 600} if kind == "Nautilus" else {"maxcall": 2000}
    )

    def draw(seed):
        return quick(kind, seed, **settings).fit(normal_model(), Normal()).idata["weighted_posterior"]["x"]

    np.testing.assert_array_equal(draw(2), draw(2))
    assert not np.array_equal(draw(2), draw(3))


@each_kind
def test_the_draws_do_not_depend_on_the_number_of_cores(kind, processes):
    settings = {
        "Nautilus": {"n_live": 100, "n_eff": 300},
        "DynestyStatic": {"nlive": 60},
        "DynestyDynamic": {"nlive": 50, "n_effective": 300},
    }
    first, second = (
        quick(kind, number_of_cores=cores, **settings[kind]).fit(normal_model(), Normal()).idata
        for cores in (1, 2)
    )
    np.testing.assert_array_equal(first["weighted_posterior"]["x"], second["weighted_posterior"]["x"])
    np.testing.assert_array_equal(first["posterior"]["y"], second["posterior"]["y"])


def test_nautilus_with_few_live_points_says_what_may_happen():
    """Cut off at an edge, log evidences were seen 0.5 to 1.7 too low, with errors of 0.03."""
    result = quick("Nautilus", n_live=100, n_eff=200).fit(normal_model(), Normal())
    assert any("260 or more" in notice for notice in result.notices)


def assert_both_sides(result, log_evidence=ANGLE_EVIDENCE):
    """Check an angle that straddles the edge: its evidence, how many draws each side has, and how wide."""
    assert_evidence(result, log_evidence)
    phase = result.idata["posterior"]["phase"].values.ravel()
    error = 1.0 / np.sqrt(min(result.attributes["effective_sample_size"], phase.size))
    assert abs(np.mean(phase < np.pi) - 0.5) < 4.0 * 0.5 * error
    concentration = scipy.special.ive(1, 30.0) / scipy.special.ive(0, 30.0)
    assert abs(np.mean(np.cos(phase)) - concentration) < 4.0 * (1.0 - concentration) * 2.0 * error


PERIODIC = [
    ("Nautilus", {"n_networks": 1}),
    *(("DynestyStatic", {"sample": sample}) for sample in ("unif", "rwalk", "slice", "rslice")),
    *(("DynestyStatic", {"bound": bound}) for bound in ("none", "single", "balls", "cubes")),
    ("DynestyDynamic", {}),
]


@pytest.mark.parametrize(("kind", "settings"), PERIODIC)
def test_an_angle_that_straddles_the_edge_is_found_on_both_sides(kind, settings):
    result = quick(kind, periodic=["phase"], **settings).fit(angle_model(), Phase())
    assert_both_sides(result)
    # Its mean and its intervals mean nothing, and that alone is told.
    (notice,) = result.notices
    assert "`phase` lie at both ends of the prior" in notice
    draws = result.idata["weighted_posterior"]["phase"]
    assert float(draws.min()) >= 0.0 and float(draws.max()) <= 2.0 * np.pi


def test_what_is_periodic_needs_a_single_bound():
    """Across the edge one ellipsoid will do, and fewer calls."""
    calls = [
        quick("DynestyStatic", bound="single", periodic=given)
        .fit(angle_model(), Phase())
        .attributes["likelihood_calls"]
        for given in ((), ["phase"])
    ]
    assert calls[1] < 0.5 * calls[0]


@pytest.mark.parametrize("sample", ["rwalk", "slice", "rslice"])
def test_walks_turn_back_at_what_is_reflective(sample):
    search = quick("DynestyStatic", sample=sample, reflective=["phase"], bound="single")
    model = angle_model()
    model.phase = cpm.UniformPrior(0.0, np.pi)
    result = search.fit(model, Phase())
    assert_evidence(result, ANGLE_EVIDENCE)
    # From 0 to pi, of a von Mises distribution of concentration 30: about half of a normal one.
    expected, _ = scipy.integrate.quad(lambda x: x * np.exp(30.0 * (np.cos(x) - 1.0)), 0.0, np.pi)
    norm, _ = scipy.integrate.quad(lambda x: np.exp(30.0 * (np.cos(x) - 1.0)), 0.0, np.pi)
    table = result.summary()
    error = table["sd"]["phase"] / np.sqrt(table["ess"]["phase"])
    assert abs(table["mean"]["phase"] - expected / norm) < 4.0 * error


@each_kind
def test_what_is_called_periodic_and_is_not_has_the_same_answer(kind):
    model = cpm.Model(Point, x=cpm.UniformPrior(MEAN, MEAN + 50.0), y=cpm.GaussianPrior(1.0, 2.0))
    result = quick(kind, periodic=["x"]).fit(model, Normal())
    assert_evidence(result, LOG_EVIDENCE + np.log(100.0 / 50.0 / 2.0))
    x = result.idata["posterior"]["x"]
    assert abs(float(x.mean()) - MEAN - SD * np.sqrt(2.0 / np.pi)) < 4.0 * SD / np.sqrt(x.size)


def test_parameters_are_periodic_by_name_or_by_prior_and_the_fit_is_the_same():
    def key(model, **settings):
        return (
            cpm.DynestyStatic(maxcall=300, nlive=50, random_seed=1, **settings).fit(model, Phase()).identifier
        )

    model = angle_model()
    by_name = key(model, periodic=["phase"])
    assert key(model, periodic=(model.phase,)) == by_name == key(model, periodic=[model.phase, "phase"])
    assert len({by_name, key(model), key(model, periodic=["width"]), key(model, reflective=["phase"])}) == 4


def test_arrays_and_shared_parameters_are_periodic_by_all_of_their_names():
    shared = cpm.UniformPrior(0.0, 1.0)
    model = cpm.Collection(
        one=cpm.Model(Angle, phase=shared, width=1.0),
        two=cpm.Model(Angle, phase=shared, width=1.0),
        many=cpm.Array(3, shared),
    )
    plan = make_plan(model)

    def named(*given):
        return cpm.Nautilus(periodic=given).identifying_settings(plan)["periodic"]

    assert named("two.phase") == named(shared) == ["one.phase"]
    assert named("many", "one.phase") == ["one.phase", "many[0]", "many[1]", "many[2]"]
    assert named("many[2]", "many[1]") == ["many[1]", "many[2]"]


def test_limits_that_are_parameters_can_be_periodic():
    model = cpm.Model(Angle, width=cpm.UniformPrior(0.0, 1.0))
    model.phase = cpm.UniformPrior(model.width, model.width + 2.0 * np.pi)
    result = quick("DynestyStatic", periodic=["phase"]).fit(model, Phase())
    assert_evidence(result, ANGLE_EVIDENCE)


def test_what_cannot_be_periodic_is_refused_and_all_of_it_at_once():
    model = cpm.Collection(
        angle=angle_model(), x=cpm.GaussianPrior(0.0, 1.0), half=cpm.HalfGaussianPrior(1.0)
    )
    search = cpm.DynestyStatic(
        periodic=["angle.phse", "x", "half", "angle.width"], reflective=["angle.width", "x", "half"]
    )
    with pytest.raises(SettingError) as caught:
        search.fit(model, Phase())
    assert [line.split(":")[0] for line in caught.value.faults] == [
        "periodic, angle.phse",
        "periodic, x",
        "periodic, half",
        "reflective, x",
        "angle.width",
        "x",
        "half",
    ]
    assert "Did you mean `angle.phase`?" in str(caught.value)
    with pytest.raises(SettingError, match=r"GaussianPrior.*no free parameter"):
        cpm.Nautilus(periodic=[cpm.GaussianPrior(0.0, 1.0)]).fit(model, Phase())


@pytest.mark.parametrize("kind", ["DynestyStatic", "DynestyDynamic"])
def test_the_draws_of_an_angle_do_not_depend_on_the_number_of_cores(kind, processes):
    settings = {"maxcall": 2000, "sample": "rwalk", "periodic": ["phase"], "reflective": ["width"]}
    first, second = (
        quick(kind, number_of_cores=cores, **settings)
        .fit(angle_model(), Phase())
        .idata["weighted_posterior"]["phase"]
        for cores in (1, 2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("bound", ["none", "single", "multi", "balls", "cubes"])
def test_dynesty_within_each_bound(bound):
    model = cpm.Model(Point, x=cpm.UniformPrior(0.0, 10.0), y=cpm.UniformPrior(0.0, 1.0))
    result = quick("DynestyStatic", bound=bound, nlive=60).fit(model, Normal())
    assert_evidence(result, LOG_EVIDENCE + np.log(10.0))


@pytest.mark.parametrize("sample", ["unif", "rwalk", "slice", "rslice"])
def test_dynesty_with_each_move(sample):
    evidence, _ = scipy.integrate.dblquad(
        lambda y, x: np.exp(Banana().log_likelihood_function(Point(x, y))) / 36.0, -3.0, 3.0, -1.0, 5.0
    )
    model = cpm.Model(Point, x=cpm.UniformPrior(-3.0, 3.0), y=cpm.UniformPrior(-1.0, 5.0))
    result = quick("DynestyStatic", sample=sample).fit(model, Banana())
    assert_evidence(result, np.log(evidence))


def test_dynesty_chooses_its_move_by_the_number_of_parameters():
    search = cpm.DynestyStatic()
    assert [search._sample(size) for size in (9, 10, 20, 21)] == ["unif", "rwalk", "rwalk", "rslice"]


def test_dynesty_asks_for_batches(monkeypatch):
    sizes = []
    evaluate = nested.UnitLikelihood.__call__

    def counted(self, points):
        sizes.append(len(points))
        return evaluate(self, points)

    monkeypatch.setattr(nested.UnitLikelihood, "__call__", counted)
    quick("DynestyStatic", sample="rwalk", queue_size=10).fit(normal_model(), Normal())
    assert sizes[0] == 150 and np.mean(sizes[1:]) > 8.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["DynestyStatic", "DynestyDynamic"])
def test_the_error_of_the_evidence_is_how_much_it_scatters(kind):
    # One ellipsoid holds one normal peak; to look whether several would do better is half of the work.
    settings = {"nlive": 60, "bound": "single"}
    if kind == "DynestyDynamic":
        settings["n_effective"] = 500
    results = [quick(kind, seed, **settings).fit(normal_model(), Normal()) for seed in range(20)]
    scores = [(result.log_evidence - LOG_EVIDENCE) / result.log_evidence_error for result in results]
    # Twenty squared normal numbers have a mean between these in all but one case in a thousand.
    assert 0.24 < np.mean(np.square(scores)) < 2.3


@pytest.mark.slow
def test_all_searches_agree_with_a_quadrature():
    evidence, _ = scipy.integrate.dblquad(
        lambda y, x: np.exp(Banana().log_likelihood_function(Point(x, y))) / 36.0, -3.0, 3.0, -1.0, 5.0
    )
    model = cpm.Model(Point, x=cpm.UniformPrior(-3.0, 3.0), y=cpm.UniformPrior(-1.0, 5.0))
    for search in [*map(quick, KINDS), cpm.SMC(draws=1000, chains=6, random_seed=1)]:
        result = search.fit(model, Banana())
        assert_evidence(result, np.log(evidence))
        table = result.summary()
        assert abs(table["mean"]["x"]) < 4.0 * table["sd"]["x"] / np.sqrt(table["ess"]["x"])


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("Nautilus", {"n_like_max": 300}, "n_like_max=300 before it had explored the prior"),
        ("DynestyStatic", {"maxcall": 300}, "maxcall=300 with the peak still ahead"),
        ("DynestyDynamic", {"maxcall": 300}, "maxcall=300 with the peak still ahead"),
    ],
)
def test_a_search_that_ends_before_the_peak_says_so_and_has_no_evidence(kind, settings, told):
    result = quick(kind, **settings).fit(normal_model(), Normal())
    assert any(told in notice for notice in result.notices)
    assert result.log_evidence is None and result.log_evidence_error is None


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("Nautilus", {"n_like_max": 6000, "n_eff": 9000}, "n_eff=9000 were wanted"),
        ("DynestyDynamic", {"maxcall": 6000, "n_effective": 9000}, "effective draws"),
    ],
)
def test_a_search_that_ends_after_the_peak_says_so_and_has_an_evidence(kind, settings, told):
    result = quick(kind, **settings).fit(normal_model(), Normal())
    assert any(told in notice for notice in result.notices)
    assert_evidence(result, LOG_EVIDENCE)


def test_what_dynesty_warns_of_is_told():
    class TopHat(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return 0.0 if abs(instance.x) < 1.0 else -10.0

    result = quick("DynestyStatic").fit(normal_model(), TopHat())
    assert any("plateau" in notice for notice in result.notices)


@each_kind
def test_a_likelihood_that_is_never_possible_is_told(kind, monkeypatch):
    monkeypatch.setattr(nested, "MAX_IMPOSSIBLE", 1000)
    with pytest.raises(SearchError, match="points of the prior were tried"):
        quick(kind).fit(normal_model(), NotBelow(60.0))


@each_kind
def test_a_fault_of_the_users_function_arrives_as_it_is(kind, capsys):
    class Broken(Normal):
        def log_likelihood_function(self, instance):
            if instance.x > 40.0:
                raise ZeroDivisionError("this is mine")
            return super().log_likelihood_function(instance)

    with pytest.raises(ZeroDivisionError, match="this is mine"):
        quick(kind).fit(normal_model(), Broken())
    assert capsys.readouterr().out == ""


def test_the_users_own_warnings_are_not_swallowed():
    import dynesty

    with pytest.warns(UserWarning, match="mine"), nested.told_by(dynesty) as told:
        warnings.warn("mine", stacklevel=1)
        warnings.warn_explicit("theirs", UserWarning, dynesty.__file__, 1, module="dynesty.sampler")
    assert told == ["theirs"]


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [("Nautilus", "nautilus", "nautilus-sampler"), ("DynestyStatic", "dynesty", "dynesty")],
)
def test_a_library_that_is_missing_is_told_with_what_to_install(kind, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SearchError, match=f"pip install {package}"):
        quick(kind).fit(normal_model(), Normal())


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("Nautilus", {"n_live": 0, "n_networks": -1, "enlarge_per_dim": 0.5}, "n_live.*\n.*n_networks.*\n"),
        ("Nautilus", {"n_lives": 100}, "n_live"),
        ("DynestyStatic", {"n_effective": 100}, "not a setting"),
        ("DynestyStatic", {"sample": "hmc"}, "rwalk"),
        ("DynestyStatic", {"sample": "unif", "walks": 10}, "sample='rwalk'"),
        ("DynestyStatic", {"dlogz": 0.0}, "dlogz"),
        ("DynestyStatic", {"enlarge": 1.2, "bootstrap": 5}, "give it or enlarge"),
        ("DynestyStatic", {"sample": "unif", "reflective": ["x"]}, "moves nothing"),
        ("Nautilus", {"periodic": "phase"}, "'phase' is not list or tuple"),
        ("DynestyDynamic", {"pfrac": 1.5, "facc": 0.0}, "facc.*\n.*pfrac"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, settings, told):
    with pytest.raises(SettingError, match=told):
        getattr(cpm, kind)(**settings)
