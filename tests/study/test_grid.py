"""A grid over priors: cells of equal prior probability."""

import numpy as np
import pytest
from spectra import line

import classy_pm as cpm
from classy_pm.errors import ModelError, SettingError
from classy_pm.model.edit import with_priors
from classy_pm.plan import make_plan
from classy_pm.study.grid import Grid


def test_cells_are_named_by_the_middle_of_the_prior_and_have_its_limits():
    model = cpm.Collection(line=line())
    grid = Grid.over(model, [model.line.centre, "line.flux"], (3, 2))
    array = grid.array(np.zeros(grid.shape))
    assert array.dims == ("line.centre", "line.flux")
    np.testing.assert_allclose(array["line.centre"], [5.0, 15.0, 25.0])
    np.testing.assert_allclose(array["line.flux"], [10.0**-0.5, 10.0**0.5])
    np.testing.assert_allclose(array["line.flux.lower"], [0.1, 1.0])
    np.testing.assert_allclose(array["line.flux.upper"], [1.0, 10.0])


@pytest.mark.parametrize(
    "prior",
    [
        cpm.UniformPrior(-3.0, 5.0),
        cpm.LogUniformPrior(1e-3, 1e2),
        cpm.GaussianPrior(1.0, 2.0),
        cpm.GaussianPrior(1.0, 2.0, lower_limit=0.0),
        cpm.HalfGaussianPrior(3.0),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_each_cell_has_the_prior_given_that_the_value_is_in_it(prior):
    model = cpm.Collection(x=prior)
    grid = Grid.over(model, [prior], 4)
    for cell in grid:
        (inside,) = grid.priors(cell).values()
        low, high = inside.limits
        assert prior.cdf(high) - prior.cdf(low) == pytest.approx(0.25, abs=1e-9)
        values = inside.ppf(np.linspace(0.01, 0.99, 9))
        # Renormalised: the density in a cell is four times that of the whole.
        np.testing.assert_allclose(inside.logpdf(values), prior.logpdf(values) + np.log(4.0), atol=1e-6)
        assert grid.centre(cell)[prior] == pytest.approx(float(inside.ppf(0.5)), rel=1e-6)


def test_a_grid_in_three_dimensions_goes_through_all_cells_the_last_fastest():
    model = line()
    grid = Grid.over(model, [model.centre, model.flux, model.width], (2, 3, 4))
    assert grid.shape == (2, 3, 4) and grid.size == 24
    cells = list(grid)
    assert cells[0] == (0, 0, 0) and cells[1] == (0, 0, 1) and cells[23] == (1, 2, 3)
    assert [grid.index(cell) for cell in cells] == list(range(24))


def test_links_assertions_and_other_priors_stay_in_every_cell():
    model = cpm.Collection(one=line(), two=line())
    model.two.width = model.one.width
    model.two.flux = 2.0 * model.one.flux
    model.add_assertion(model.one.centre < model.two.centre)
    grid = Grid.over(model, [model.one.width, model.one.flux], 2)
    inside = with_priors(model, grid.priors((0, 1)))
    plan = make_plan(inside)
    assert plan.names == make_plan(model).names
    assert len(plan.layout.assertions) == 1
    vector = plan.draws(1, 0)[0]
    instance = plan.instance(vector)
    assert instance.two.width == instance.one.width and instance.two.flux == 2.0 * instance.one.flux
    assert instance.one.centre < instance.two.centre
    assert inside.one.width.limits == (0.5, 2.75) and model.one.width.limits == (0.5, 5.0)


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        (["centr"], "Did you mean `centre`?"),
        ([cpm.UniformPrior(0.0, 1.0)], "is no free parameter of this model"),
        ([3.0], "is no prior"),
        (["centre", "centre"], "is in the grid already"),
    ],
)
def test_what_is_no_parameter_of_the_model_is_refused(priors, words):
    with pytest.raises(ModelError, match="There is no grid over these priors") as caught:
        Grid.over(line(), priors, 2)
    assert words in str(caught.value)


def test_all_priors_without_cells_are_told_at_once():
    model = line(flux=cpm.GammaPrior(2.0, 1.0))
    model.width = cpm.GaussianPrior(mean=cpm.UniformPrior(1.0, 2.0), sigma=1.0)
    with pytest.raises(ModelError) as caught:
        Grid.over(model, ["flux"], 2)
    assert "cannot be truncated" in str(caught.value)
    with pytest.raises(ModelError, match="depends on other parameters"):
        Grid.over(model, ["width"], 2)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "3", (2, 2), [2, 0, 2]])
def test_steps_are_positive_integers_one_for_each_prior(steps):
    with pytest.raises(SettingError, match="number_of_steps"):
        Grid.over(line(), ["centre", "flux", "width"], steps)


@pytest.mark.parametrize("cell", [(2, 0), (0, 0, 0), "0", 0.5])
def test_a_cell_that_is_not_there_is_refused(cell):
    grid = Grid.over(line(), ["centre", "flux"], 2)
    with pytest.raises(SettingError, match="There is no cell"):
        grid.index(cell)
