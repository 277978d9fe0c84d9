"""NUTS on a traced likelihood: the demo against NIST's certified values, and what it refuses."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.demo import CERTIFIED
from classy_pm.errors import LikelihoodError, SearchError

pytestmark = pytest.mark.slow


def test_the_posterior_means_agree_with_the_certified_values(demo_fit):
    _, result = demo_fit
    table = result.summary()
    for name, (value, sd) in CERTIFIED.items():
        allowed = 0.5 * (table["sd"][name] if sd is None else sd)
        assert abs(table["mean"][name] - value) < allowed, name
    for name in ("line.centre", "line.intensity", "line.sigma"):
        # The exact posterior is Student's t with 32 degrees of freedom: a little wider than certified.
        assert table["sd"][name] == pytest.approx(CERTIFIED[name][1] * np.sqrt(32 / 30), rel=0.1)


def test_the_fit_is_well_sampled_and_says_how_it_was_made(demo_fit):
    _, result = demo_fit
    assert result.notices == []
    stages = result.attributes["seconds"]
    assert any("compiling" in stage for stage in stages) and any("mode" in stage for stage in stages)
    assert result.attributes["proof"]


def test_the_pointwise_terms_add_up_to_the_log_likelihood(demo_fit):
    _, result = demo_fit
    terms = result.idata["log_likelihood"]["likelihood"]
    assert terms.dims[:2] == ("chain", "draw") and terms.shape[2] == 35
    np.testing.assert_allclose(
        terms.sum(terms.dims[2]), result.idata["sample_stats"]["total_log_likelihood"], rtol=1e-10
    )


def test_the_demo_writes_its_catalogue_and_pictures_and_reads_them_again(demo_fit, capsys):
    from classy_pm.cli import main

    folder, result = demo_fit
    names = {path.name for path in folder.iterdir()}
    assert {"catalog.sqlite", "fit.png", "corner.png"} <= names
    assert main(["demo", "--folder", str(folder)]) == 0
    output, stages = capsys.readouterr()
    assert "read, not run" in stages and "451.54" in output
    with cpm.Catalog(folder / "catalog.sqlite") as catalog:
        assert len(catalog) == 1 and catalog.find(result.identifier) is not None


def test_a_black_box_is_refused_with_the_reason_and_the_cure(gaussian_model, gaussian_analysis):
    with pytest.raises(SearchError, match="Emcee"):
        cpm.NUTS(likelihood="blackbox").fit(gaussian_model, gaussian_analysis)


def test_a_likelihood_that_cannot_be_traced_is_told_with_the_users_line(gaussian_model, opaque_analysis):
    with pytest.raises(SearchError, match=r"(?s)conftest\.py.*Emcee"):
        cpm.NUTS().fit(gaussian_model, opaque_analysis)


def test_a_fault_of_the_likelihood_is_told_as_what_it_is(gaussian_model, gaussian_analysis):
    class Unsummed(type(gaussian_analysis)):
        def log_likelihood_function(self, instance):
            return self.data - instance.centre

    with pytest.raises(LikelihoodError, match="array of shape"):
        cpm.NUTS().fit(gaussian_model, Unsummed(gaussian_analysis.data, gaussian_analysis.noise_map))


class Peaks(cpm.Analysis):
    """Two equal peaks, far apart."""

    def log_likelihood_function(self, instance):
        x = instance.x
        return np.logaddexp(-0.5 * ((x - 3.0) / 0.05) ** 2, -0.5 * ((x + 3.0) / 0.05) ** 2)


def test_two_modes_are_told_and_the_draws_do_not_depend_on_the_cores():
    model = cpm.Collection(x=cpm.UniformPrior(-5.0, 5.0))
    settings = {"draws": 100, "tune": 200, "chains": 6, "random_seed": 1}
    one = cpm.NUTS(**settings).fit(model, Peaks())
    two = cpm.NUTS(number_of_cores=2, **settings).fit(model, Peaks())
    assert any("2 modes" in notice and "50.0%" in notice for notice in one.notices)
    assert set(np.sign(one.samples.parameter_lists).ravel()) == {-1.0, 1.0}
    np.testing.assert_array_equal(one.idata["posterior"]["x"], two.idata["posterior"]["x"])
    assert "notice" in repr(one)
