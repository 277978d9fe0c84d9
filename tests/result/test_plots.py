"""Pictures: they show what they should, and what cannot be drawn is told."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from classy_pm.errors import ClassyError, UnknownNameError
from classy_pm.result.plots import plot_corner, plot_fit, plot_trace
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
