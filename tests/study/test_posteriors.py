"""Filed fits as posteriors: each fit's own prior density on the parameters, and what cannot be used."""

import numpy as np
import pytest
from made_fits import Source, file_fits, made_fit, source

import classy_pm as cpm
from classy_pm.errors import ModelError
from classy_pm.plan import make_plan
from classy_pm.study.own_prior import SelectedPrior
from classy_pm.study.posteriors import REFIT, Posteriors, posterior_of

RNG = np.random.default_rng(1)


def normal(size=40, centre=1.0):
    return RNG.normal(centre, 0.5, size)


def density(model, paths, vectors):
    return SelectedPrior(make_plan(model), paths).log_density(np.atleast_2d(vectors))


def test_the_prior_density_is_that_of_the_parameters_alone():
    flux, colour = cpm.GaussianPrior(1.0, 2.0, lower_limit=0.0), cpm.LogUniformPrior(0.1, 10.0)
    model = source(flux, colour)
    vectors = np.array([[0.5, 1.0], [2.0, 3.0]])
    np.testing.assert_allclose(density(model, ["source.flux"], vectors), flux.logpdf([0.5, 2.0]))
    both = flux.logpdf([0.5, 2.0]) + colour.logpdf([1.0, 3.0])
    np.testing.assert_allclose(density(model, ["source.colour", "source.flux"], vectors), both)


def test_a_prior_that_depends_on_other_parameters_is_taken_where_they_are():
    colour = cpm.UniformPrior(0.0, 1.0)
    model = source(cpm.GaussianPrior(10.0 * colour, 1.0), colour)
    plan = make_plan(model)
    vector = [{"source.colour": 0.5}.get(name, 6.0) for name in plan.names]
    expected = cpm.GaussianPrior(5.0, 1.0).logpdf(6.0)
    np.testing.assert_allclose(density(model, ["source.flux"], vector), [expected])


def test_elements_of_arrays_and_shared_parameters_have_their_density_under_each_name():
    weights = cpm.Array(3, cpm.GaussianPrior(1.0, 2.0))
    shared = cpm.UniformPrior(0.0, 4.0)
    model = cpm.Collection(weights=weights, first=shared, second=shared)
    vector = [0.0, 5.0, 0.0, 1.0]
    expected = cpm.GaussianPrior(1.0, 2.0).logpdf(5.0) - np.log(4.0)
    np.testing.assert_allclose(density(model, ["weights[1]", "second"], vector), [expected])


def test_draws_with_weights_keep_them():
    x = np.linspace(0.0, 3.0, 400)
    log_weights = -0.5 * ((x - 1.0) / 0.3) ** 2
    model = source(cpm.UniformPrior(0.0, 4.0))
    _, tree = made_fit(1, model, {"source.flux": x}, chains=1, log_weights=log_weights)
    found = posterior_of(tree, SelectedPrior(make_plan(model), ["source.flux"]), "a")
    weights = np.exp(found.offset) / 4.0
    assert np.sum(weights) == pytest.approx(1.0)
    assert np.sum(weights * found.x[0]) == pytest.approx(1.0, abs=1e-3)
    # Each eighth of them is of all parts of the posterior.
    for part in np.array_split(np.arange(len(weights)), 8):
        assert np.sum(weights[part]) == pytest.approx(0.125, abs=0.01)


def test_a_fit_that_was_made_again_is_no_object(tmp_path):
    model = source(cpm.UniformPrior(0.0, 4.0))
    draws = {"source.flux": np.linspace(0.5, 1.5, 40)}
    fits = [made_fit(1, model, draws), made_fit(2, model, draws, data=1, name=REFIT)]
    posteriors = Posteriors(file_fits(tmp_path / "fits.sqlite", fits), ("source.flux",))
    assert [item.name for item in posteriors] == ["object_1"]


def test_all_fits_that_cannot_be_used_are_told_with_their_reasons(tmp_path):
    flux, uniform = cpm.UniformPrior(0.0, 4.0), cpm.UniformPrior(0.0, 4.0)
    asserted = source(flux, uniform)
    asserted.add_assertion(asserted.source.flux < asserted.source.colour, name="redder")
    array = cpm.Collection(source=cpm.Collection(flux=cpm.Array(2, flux)))
    computed = cpm.Collection(source=cpm.Collection(colour=uniform, flux=2.0 * uniform))
    good = {"source.flux": np.linspace(0.5, 1.5, 40)}
    fits = [
        made_fit(0, source(flux), good),
        made_fit(1, source(2.0, uniform), {"source.colour": normal()}),
        made_fit(2, cpm.Collection(source=cpm.Collection(flx=flux)), {"source.flx": normal()}),
        made_fit(3, computed, {"source.colour": normal()}),
        made_fit(4, asserted, {"source.flux": normal(), "source.colour": normal(centre=2.0)}),
        made_fit(5, array, {"source.flux": RNG.normal(1.0, 0.1, (4, 10, 2))}, whole=True),
        made_fit(6, source(flux), good, kind="optimum"),
        made_fit(7, source(flux), good, data=0),
        made_fit(8, source(flux), {"source.flux": np.full(40, 5.0)}),
        made_fit(9, source(flux), {"source.flux": np.linspace(1.0, 2.0, 8)}),
    ]
    posteriors = Posteriors(file_fits(tmp_path / "fits.sqlite", fits), ("source.flux",))
    with pytest.raises(ModelError) as told:
        list(posteriors)
    for fault in (
        "object_1: source.flux: is fixed",
        "object_2: source.flux: is no parameter of this fit. Did you mean `source.flx`?",
        "object_3: source.flux: is computed from other parameters",
        "object_4: source.flux: stands in the assertion `redder`",
        "object_5: source.flux: is an array of shape (2,); name one element, such as source.flux[0]",
        "object_6: is a single best point",
        "object_7: is a fit of the same data as object_0",
        "object_8: has 40 of 40 draws where its own prior density is zero",
        "object_9: has 8 draws; at least 16 are needed",
    ):
        assert fault in str(told.value)
    assert len(told.value.faults) == 9


def test_a_stored_class_is_not_needed(tmp_path):
    (record, tree) = made_fit(1, source(cpm.UniformPrior(0.0, 4.0)), {"source.flux": normal()})
    agg = file_fits(tmp_path / "fits.sqlite", [(record, tree)])
    (found,) = Posteriors(agg.query(agg.source == Source), ("source.flux",))
    assert found.x.shape == (1, 40)
    np.testing.assert_allclose(found.offset, -np.log(40) + np.log(4.0))
