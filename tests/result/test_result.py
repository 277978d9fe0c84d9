"""Result: what it says of a fit, and the model that it hands on."""

import copy

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import ClassyError, ModelError, SettingError
from classy_pm.model.prior import WidthModifier
from classy_pm.plan import make_plan
from classy_pm.result.table import PosteriorTable, digits_for
from classy_pm.result.tree import make_tree, table_of


class Profile:
    def __init__(self, centre=0.0, intensity=1.0, sigma=1.0):
        self.centre, self.intensity, self.sigma = centre, intensity, sigma


class Flat(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return 0.0 * instance.x


def free_profile():
    return cpm.Model(
        Profile,
        centre=cpm.UniformPrior(0.0, 100.0),
        intensity=cpm.LogUniformPrior(1e-2, 1e2),
        sigma=cpm.GaussianPrior(10.0, 5.0, lower_limit=0.0),
    )


def result_of(model, vectors, **options):
    plan = make_plan(model)
    attributes = {"search": "NUTS", "kind": "chains", **options.pop("attributes", {})}
    posterior = dict(zip(plan.names, plan.split(vectors), strict=True))
    for path, derived in plan.derived:
        posterior[".".join(path)] = plan.derived_values(derived, vectors)
    log_likelihood = -0.5 * np.sum(vectors**2, axis=-1)
    tree = make_tree(
        posterior,
        log_likelihood,
        plan.log_prior(vectors),
        free=plan.names,
        attributes=attributes,
        **options,
    )
    return cpm.Result(model, tree, identifier="0123456789abcdef" * 4)


def draws(centres, widths, shape=(2, 400), seed=1):
    return np.random.default_rng(seed).normal(centres, widths, size=(*shape, len(centres)))


@pytest.fixture
def result():
    vectors = draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0])
    evidence = {"log_evidence": -12.345678, "log_evidence_error": 0.0312, "notices": ["1 < 2 of them"]}
    return result_of(free_profile(), vectors, attributes=evidence)


COLUMNS = ["mean", "sd", "median", "lower_1_sigma", "upper_1_sigma", "lower_3_sigma", "upper_3_sigma"]


def test_summary_is_a_frame_of_full_precision_that_prints_without_folding(result):
    table = result.summary()
    assert list(table.columns) == [*COLUMNS, "ess", "r_hat"] and list(table.index) == result.samples.names
    assert table["median"]["centre"] == result.samples.median_pdf_vector[0]
    text = str(table)
    assert max(map(len, text.splitlines())) <= 100 and "\\" not in text
    assert len(text.splitlines()) == 2 + 3  # two lines of headings
    assert type(table[["mean"]]).__name__ == "DataFrame", "what is made of it is a plain frame"


def test_a_summary_with_long_names_leaves_columns_out_and_says_so():
    names = [f"galaxies.number_{index}.light.effective_radius" for index in range(2)]
    vectors = draws([12.5, 0.5], [1e-4, 1.0])
    tree = make_tree(
        {name: vectors[..., place] for place, name in enumerate(names)},
        vectors[..., 0],
        vectors[..., 0],
        free=names,
    )
    table = PosteriorTable.from_rows(table_of(tree))
    assert max(map(len, str(table).splitlines())) <= 100
    assert "(not shown: lower_3_sigma, upper_3_sigma" in str(table)
    assert "lower_3_sigma" in table.columns


@pytest.mark.parametrize(
    "value, error, text",
    [
        (5000.1234, 0.0005, "5000.12340"),
        (5000.1234, 120.0, "5000"),
        (3.0, 0.0, "3"),
        (1e20, 1.0, "1e+20"),
        (0.5, float("nan"), "0.5"),
    ],
)
def test_numbers_have_two_digits_of_their_error(value, error, text):
    assert digits_for(value, error) == text


def test_info_tells_search_evidence_intervals_and_notices(result):
    lines = result.info.splitlines()
    assert any("NUTS" in line and "800 draws in chains" in line for line in lines)
    assert any(line.startswith("Log evidence") and "-12.3457 ± 0.031" in line for line in lines)
    assert lines[-1] == "Note: 1 < 2 of them"
    median = result.samples.median_pdf_vector[0]
    assert any(line.startswith("centre") and f"{median:.2f}" in line for line in lines)
    assert result.log_evidence == -12.345678 and result.log_evidence_error == 0.0312
    assert result.kind == "chains"


def test_html_is_escaped(result):
    html = result._repr_html_()
    assert "1 &lt; 2 of them" in html and "1 < 2" not in html and "centre" in html


def test_a_single_best_point_is_summarised_without_warning_or_error():
    result = result_of(free_profile(), np.array([[[50.0, 25.0, 10.0]]]), attributes={"kind": "optimum"})
    row = result.summary().loc["centre"]
    assert row["mean"] == row["median"] == 50.0
    assert np.all(np.isnan(row[["sd", "lower_1_sigma", "upper_3_sigma", "ess"]].to_numpy(float)))
    assert "NaN" in str(result.summary()) or "nan" in str(result.summary())
    assert "single best point" in result.info and "50" in result.info and "nan" not in result.info
    assert "50" in result._repr_html_() and result.instance.centre == 50.0
    with pytest.raises(ModelError, match=r"result\.instance"):
        _ = result.model
    with pytest.raises(ClassyError, match="not draws of the posterior"):
        result.loo()
    for plot in (result.plot_corner, result.plot_trace):
        with pytest.raises(ClassyError, match="single point"):
            plot()


def test_a_datum_that_no_parameter_enters_is_no_obstacle_to_loo():
    vectors = draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0])
    pointwise = -0.5 * ((np.linspace(48.0, 52.0, 8) - vectors[..., :1]) / 3.0) ** 2
    known = result_of(free_profile(), vectors, pointwise=pointwise).loo()
    constant = np.concatenate([pointwise, np.full((*pointwise.shape[:2], 2), -3.0)], axis=-1)
    elpd = result_of(free_profile(), vectors, pointwise=constant).loo()
    assert elpd.elpd == pytest.approx(known.elpd - 6.0, abs=1e-6)


def test_loo_needs_pointwise_terms_and_says_how_to_get_them(result):
    with pytest.raises(ClassyError, match="log_likelihood_pointwise"):
        result.loo()
    vectors = draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0])
    pointwise = np.random.default_rng(1).normal(-1.0, 0.1, size=(2, 400, 20))
    elpd = result_of(free_profile(), vectors, pointwise=pointwise).loo()
    assert elpd.n_data_points == 20 and elpd.elpd == pytest.approx(pointwise.mean(axis=(0, 1)).sum(), abs=1.0)


WHY_NO_LOO = {
    "the likelihood was called as it is, not traced.": r'Emcee\(likelihood="trace"\)',
    "LOO is not available: the value is not a sum over data.": r"log likelihood: the value is not a sum",
    "": "it was left out",
}


@pytest.mark.parametrize("reason", WHY_NO_LOO)
def test_why_there_is_no_loo_is_told_once_with_what_to_write(reason):
    vectors = draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0])
    result = result_of(free_profile(), vectors, attributes={"search": "Emcee", "no_pointwise": reason})
    with pytest.raises(ClassyError, match=WHY_NO_LOO[reason]) as caught:
        result.loo()
    text = str(caught.value)
    assert text.count("LOO is not available") == text.count("log_likelihood_pointwise(self, instance)") == 1


def test_data_at_which_loo_cannot_be_trusted_are_named_at_the_users_line():
    vectors = draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0])
    pointwise = np.random.default_rng(1).normal(-1.0, 0.1, size=(2, 400, 20))
    pointwise[..., 7] = 40.0 * np.random.default_rng(1).standard_normal((2, 400))
    with pytest.warns(UserWarning, match=r"(?s)at 1 of 20 data: numbers 7\..*Nautilus\(\)") as caught:
        result_of(free_profile(), vectors, pointwise=pointwise).loo()
    assert [warning.filename for warning in caught] == [__file__]


def test_data_of_a_graph_at_which_loo_cannot_be_trusted_are_named_by_their_data_sets():
    vectors = draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0])
    pointwise = np.random.default_rng(1).normal(-1.0, 0.1, size=(2, 400, 4))
    pointwise[..., 1:3] = 40.0 * np.random.default_rng(1).standard_normal((2, 400, 2))
    counts = {"term_counts": [("north", 2), ("south", 2)]}
    with pytest.warns(UserWarning, match=r"at 2 of 4 data: north\[1\], south\[0\]\. Without"):
        result_of(free_profile(), vectors, pointwise=pointwise, attributes=counts).loo()


def test_r_hat_is_left_out_where_there_are_no_chains_to_compare():
    vectors = draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0], shape=(1, 400))
    assert "r_hat" not in result_of(free_profile(), vectors).summary()
    names = ("centre", "intensity", "sigma")
    weighted = {name: vectors[0, :, place] for place, name in enumerate(names)}
    weighted |= {name: np.zeros(400) for name in ("log_weight", "total_log_likelihood", "log_prior")}
    nested = result_of(free_profile(), draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0]), weighted=weighted)
    table = nested.summary()
    assert list(table.columns) == [*COLUMNS, "ess"] and not table.isna().any(axis=None)
    assert "hat" not in str(table) and "hat" not in nested._repr_html_()


def test_what_is_derived_is_in_the_summary():
    model = free_profile()
    model.intensity = 2.0 * model.centre
    result = result_of(model, draws([50.0, 10.0], [0.5, 1.0]))
    table = result.summary()
    assert table["median"]["intensity"] == pytest.approx(2.0 * table["median"]["centre"])


# -- the model of a next fit ------------------------------------------------------------------------


def test_the_model_of_a_result_has_its_posterior_as_priors(result):
    model = result.model
    medians, deviations = result.samples.median_pdf_vector, np.std(result.samples.vectors, axis=0, ddof=1)
    for name, median, sd in zip(result.samples.names, medians, deviations, strict=True):
        prior = model[name]
        assert isinstance(prior, cpm.GaussianPrior)
        assert prior.arguments["mean"] == median
        assert prior.arguments["sigma"] == pytest.approx(3.0 * sd, rel=1e-12)
    assert model.centre.limits == (0.0, 100.0) and model.intensity.limits == (1e-2, 1e2)
    assert model.sigma.limits == (0.0, np.inf)
    assert result.model is model, "parts taken from it one after the other share their parameters"


def test_links_arithmetic_assertions_and_constants_survive():
    model = cpm.Collection(left=free_profile(), right=free_profile(), label="two lines")
    model.right.centre = model.left.centre
    model.right.sigma = 2.0 * model.left.sigma
    model.right.intensity = 3.0
    model.add_assertion(model.left.sigma > 5.0, name="broad")
    next_model = result_of(model, draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0])).model
    assert next_model.paths == model.paths == [("left", "centre"), ("left", "intensity"), ("left", "sigma")]
    assert next_model.right.centre is next_model.left.centre
    assert next_model.right.intensity == 3.0 and next_model.label == "two lines"
    instance = next_model.instance_from_vector([50.0, 25.0, 6.0])
    assert instance.right.sigma == 12.0 and instance.right.centre == 50.0
    with pytest.raises(cpm.FitException):
        next_model.instance_from_vector([50.0, 25.0, 4.0])
    joined = cpm.Collection(first=next_model.left, second=next_model.right)
    assert joined.total_free_parameters == 3


def test_changing_a_model_after_the_fit_changes_neither_result_nor_its_model():
    model = free_profile()
    result = result_of(model, draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0]))
    model.sigma = 1.0
    del model
    assert result.model.total_free_parameters == 3 and result.samples.with_paths(["sigma"]).names == ["sigma"]
    assert copy.copy(result).samples.names == ["centre", "intensity", "sigma"]


def test_a_configured_width_and_limits_are_kept_where_they_are_wider():
    model = free_profile()
    model.centre.width_modifier = WidthModifier("Relative", 0.5)
    model.intensity.width_modifier = WidthModifier("Absolute", 1e-9)
    model.sigma.chained_limits = (0.0, 30.0)
    result = result_of(model, draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0]))
    centre, intensity, sigma = (result.model[name].arguments for name in ("centre", "intensity", "sigma"))
    assert centre["sigma"] == pytest.approx(0.5 * centre["mean"])
    assert intensity["sigma"] == pytest.approx(3.0 * 0.05, rel=0.2)
    assert (sigma["lower_limit"], sigma["upper_limit"]) == (0.0, 30.0)


def test_a_population_stays_the_prior_of_its_members():
    mean = cpm.UniformPrior(0.0, 10.0)
    model = cpm.Collection(a=cpm.GaussianPrior(mean, 1.0), b=cpm.GaussianPrior(mean, 1.0))
    next_model = result_of(model, draws([5.0, 5.5, 4.5], [0.1, 0.2, 0.3])).model
    assert next_model.paths == model.paths
    population = next_model.a.arguments["mean"]
    assert isinstance(population, cpm.GaussianPrior) and next_model.b.arguments["mean"] is population
    assert next_model.a.arguments["sigma"] == 1.0


def test_each_number_of_an_array_has_a_prior_of_its_own():
    model = cpm.Collection(
        weights=cpm.Array((2, 2), cpm.UniformPrior(0.0, 10.0)), x=cpm.UniformPrior(0.0, 9.0)
    )
    result = result_of(model, draws([2.0, 3.0, 5.0, 7.0, 4.0], np.array([0.1, 0.2, 0.3, 0.4, 0.5]) / 3.0))
    next_model = result.model
    np.testing.assert_allclose(next_model.weights.arguments["mean"].ravel(), [2.0, 3.0, 5.0, 7.0], atol=0.1)
    drawn = make_plan(next_model).draws(4000, random_seed=1)
    np.testing.assert_allclose(drawn.mean(axis=0), [2.0, 3.0, 5.0, 7.0, 4.0], atol=0.05)
    np.testing.assert_allclose(drawn.std(axis=0), [0.1, 0.2, 0.3, 0.4, 0.5], rtol=0.2)
    prior, vector = next_model.weights, np.array([2.1, 2.9, 5.2, 6.8, 4.1])
    each = [
        cpm.GaussianPrior(mean, sigma, 0.0, 10.0).logpdf(value)
        for mean, sigma, value in zip(
            prior.arguments["mean"].ravel(), prior.arguments["sigma"].ravel(), vector, strict=False
        )
    ]
    expected = sum(each) + next_model.x.logpdf(4.1)
    assert make_plan(next_model).log_prior(vector) == pytest.approx(expected)
    pymc_model = cpm.to_pymc(next_model, Flat())
    values = dict(zip(pymc_model.value_vars, (vector[:4].reshape(2, 2), vector[4]), strict=True))
    point = {
        value.name: pymc_model.rvs_to_transforms[rv].forward(at, *rv.owner.inputs).eval()
        for rv, (value, at) in zip(pymc_model.free_RVs, values.items(), strict=True)
    }
    log_densities = pymc_model.compile_logp(jacobian=False, mode="FAST_COMPILE")(point)
    assert float(log_densities) == pytest.approx(expected)
    again = cpm.Collection.from_dict(next_model.to_dict())
    assert make_plan(again).log_prior(vector) == pytest.approx(expected)
    assert "4 numbers" in next_model.info


def test_draws_that_do_not_differ_are_told_by_name():
    vectors = draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0])
    vectors[..., 1] = 25.0
    with pytest.raises(ModelError, match="intensity: has no width"):
        _ = result_of(free_profile(), vectors).model


def test_the_corner_plot_is_drawn_by_the_library_that_is_asked_for():
    result = result_of(free_profile(), draws([50.0, 25.0, 10.0], [0.5, 0.05, 2.0]))
    titles = [axes.get_title() for axes in result.plot_corner(["sigma"], library="corner").axes]
    assert any("sigma" in title for title in titles)
    with pytest.raises(SettingError, match="Did you mean `corner`"):
        result.plot_corner(library="cornr")
