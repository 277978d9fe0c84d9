"""Pictures: they show what they should, and what cannot be drawn is told."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from classy_pm.errors import ClassyError, SettingError, UnknownNameError
from classy_pm.result.plots import plot_corner, plot_corner_classic, plot_fit, plot_trace
from classy_pm.result.tree import make_tree

RNG = np.random.default_rng(1)
DRAWS = RNG.normal(size=(2, 300, 3))


@pytest.fixture(autouse=True)
def close_all():
    yield
    plt.close("all")


def tree_of(groups=None, stats=None):
    return make_tree(
        {"a": DRAWS[..., 0], "b": DRAWS[..., 1], "twice": 2.0 * DRAWS[..., 0]},
        DRAWS[..., 0],
        DRAWS[..., 1],
        free=["a", "b"],
        groups=groups,
        stats=stats,
    )


def predictions(*shape):
    dims = [f"data_dim_{axis}" for axis in range(len(shape))]
    return {
        "posterior_predictive": xr.Dataset(
            {"data": (["chain", "draw", *dims], RNG.normal(size=(2, 20, *shape)))}
        ),
        "observed_data": xr.Dataset({"data": (dims, RNG.normal(size=shape))}),
    }


def texts(figure):
    labels = [
        text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel(), axes.get_title())
    ]
    return " ".join(labels)


def test_corner_has_the_free_parameters_or_those_asked_for():
    figure = plot_corner(tree_of())
    assert "b" in texts(figure) and "twice" not in texts(figure)
    assert "twice" in texts(plot_corner(tree_of(), ["a", "twice"]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("function", "count", "panels"),
    [pytest.param(plot_corner, 17, 17**2, marks=pytest.mark.slow), (plot_trace, 21, 2 * 21)],
)
def test_any_number_of_parameters_is_drawn(function, count, panels):
    draws = RNG.normal(size=(2, 50, count))
    names = [f"p{place}" for place in range(count)]
    tree = make_tree(
        dict(zip(names, np.moveaxis(draws, -1, 0), strict=True)), draws[..., 0], draws[..., 0], free=names
    )
    assert len(function(tree).axes) == panels


def test_astronomers_corner_has_the_same_parameters_and_their_intervals():
    figure = plot_corner_classic(tree_of())
    assert len(figure.axes) == 4 and "twice" not in texts(figure)
    low, median, high = np.quantile(DRAWS[..., 1], [0.158655, 0.5, 0.841345])
    assert f"{median:.3g}" in texts(figure) and f"{high - median:.3g}" in texts(figure)
    assert f"{median - low:.3g}" in texts(figure)


def test_astronomers_corner_weighs_the_draws():
    a = np.linspace(0.0, 1.0, 2001)
    flat = np.zeros(2001)
    weighted = {
        "a": a,
        "log_weight": np.log(2.0 * a + 1e-12),
        "total_log_likelihood": flat,
        "log_prior": flat,
    }
    draws = RNG.random((1, 50))
    tree = make_tree({"a": draws}, draws, draws, free=["a"], weighted=weighted)
    assert f"{np.sqrt(0.5):.3g}" in texts(plot_corner_classic(tree))


def test_trace_has_a_row_a_parameter():
    figure = plot_trace(tree_of(stats={"diverging": np.zeros((2, 300), dtype=bool)}))
    assert len(figure.axes) == 4 and "a" in texts(figure) and "twice" not in texts(figure)
    assert len(plot_trace(tree_of(), ["twice"]).axes) == 2


@pytest.mark.parametrize("shape", [(12,), (20, 20)])
def test_fit_shows_the_data_on_their_predictions(shape):
    figure = plot_fit(tree_of(groups=predictions(*shape)))
    assert len(figure.axes) == 1 and "data" in texts(figure)


def test_many_counts_are_drawn_without_a_warning():
    groups = {name: (10.0 * dataset).round().astype(int) for name, dataset in predictions(400).items()}
    plot_fit(tree_of(groups=groups))


def test_fit_without_simulated_data_says_what_to_write():
    with pytest.raises(ClassyError, match="simulate"):
        plot_fit(tree_of())
    groups = predictions(12)
    groups["observed_data"] = groups["observed_data"].rename(data="other")
    with pytest.raises(ClassyError, match="None of what was simulated was observed"):
        plot_fit(tree_of(groups=groups))
    with pytest.raises(UnknownNameError, match="`data`"):
        plot_fit(tree_of(groups=predictions(12)), "dato")


def test_unknown_parameters_are_told_with_the_nearest_name():
    for plot in (plot_corner, plot_trace):
        with pytest.raises(UnknownNameError, match="`twice`"):
            plot(tree_of(), ["twise"])


PLOTS = {
    "plot_corner": (plot_corner, "a"),
    "plot_trace": (plot_trace, "a"),
    "plot_fit": (plot_fit, "data"),
}


@pytest.mark.parametrize("function", PLOTS)
def test_all_take_one_name_or_several_and_tell_the_path_of_a_picture(function):
    plot, name = PLOTS[function]
    tree = tree_of(groups=predictions(12))
    assert name in texts(plot(tree, name)) and name in texts(plot(tree, [name]))
    for path in ("x.png", Path("x.PDF"), ["x.svg"]):
        with pytest.raises(SettingError, match=rf"result\.{function}\(\)\.savefig\('x\."):
            plot(tree, path)
    for wrong in (3, [3]):
        with pytest.raises(SettingError, match=rf'result\.{function}\(\["name"'):
            plot(tree, wrong)
    with pytest.raises(UnknownNameError, match=r"(?s)`x`.*`y`"):
        plot(tree, ["x", "y"])


def test_a_parameter_may_be_called_as_a_picture_is():
    tree = make_tree({"lens.ps": DRAWS[..., 0]}, DRAWS[..., 0], DRAWS[..., 1], free=["lens.ps"])
    assert "lens" in texts(plot_corner(tree, "lens.ps"))
