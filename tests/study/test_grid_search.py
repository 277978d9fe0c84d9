"""A search in every cell of a grid: what it finds, how it is filed, and what is left after a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from spectra import Line, Noted, Spectrum, data_of, line, quick

import classy_pm as cpm
from classy_pm.errors import ModelError, SettingError, StudyError

TRUTH = Line(20.0, 5.0, 2.0)
NESTED = cpm.DynestyStatic(nlive=60, random_seed=1)


class Narrow(Spectrum):
    """Has no value at all where the line is on the left."""

    def log_likelihood_function(self, instance):
        if instance.centre < 10.0:
            raise ValueError("the left half was not observed")
        return super().log_likelihood_function(instance)


@pytest.fixture(scope="module")
def spectrum():
    return Spectrum(data_of(TRUTH))


@pytest.fixture(scope="module")
def cube(spectrum):
    """A grid over all three parameters."""
    model = line()
    grid = cpm.SearchGridSearch(quick(), number_of_steps=(2, 3, 2))
    return grid.fit(model, spectrum, grid_priors=[model.centre, model.flux, model.width])


@pytest.fixture(scope="module")
def nested(spectrum):
    """The evidences of three cells, and that of the whole."""
    model = line(width=2.0)
    grid = cpm.SearchGridSearch(NESTED, number_of_steps=3)
    return grid.fit(model, spectrum, [model.centre]), NESTED.fit(model, spectrum)


def test_a_grid_in_three_dimensions_has_the_shape_of_one(cube):
    dims = ("centre", "flux", "width")
    for array in (cube.log_likelihoods, cube.log_evidences, cube.parameters.isel(parameter=0, statistic=0)):
        assert array.dims == dims and array.shape == (2, 3, 2)
    assert len(cube) == 12
    medians = cube.parameters.sel(statistic="median")
    for cell in np.ndindex(2, 3, 2):
        for dim in dims:
            value, inside = float(medians.sel(parameter=dim)[cell]), cube.log_likelihoods[cell]
            assert inside[f"{dim}.lower"] <= value <= inside[f"{dim}.upper"]
        assert cube[cell].samples.max_log_likelihood == float(cube.log_likelihoods[cell])


def test_the_best_cell_is_where_the_truth_is(cube):
    assert cube.best_cell == (1, 2, 0)
    best = cube.best_result
    assert best.samples.max_log_likelihood == float(cube.log_likelihoods.max())
    assert best.instance.centre == pytest.approx(20.0, abs=1.0)
    assert np.isnan(cube.log_evidence), "Emcee knows no evidence"


def test_the_mean_of_the_evidences_is_that_of_the_whole_model(nested):
    grid, whole = nested
    error = np.hypot(whole.log_evidence_error, float(grid.log_evidence_errors.max()))
    assert grid.log_evidence == pytest.approx(whole.log_evidence, abs=4.0 * error)
    assert grid.best_result.log_evidence == float(grid.log_evidences.max())
    assert "centre (3)" in repr(grid)


def test_every_cell_is_a_filed_fit_that_knows_its_parent(spectrum, tmp_path):
    model = line()
    grid = cpm.SearchGridSearch(quick(name="map"), number_of_steps=(2, 2))
    place = tmp_path / "grid.sqlite"
    found = grid.fit(model, spectrum, ["centre", "flux"], catalog=place, info={"survey": "A"})
    aggregator = cpm.Aggregator.from_database(place)
    cells = aggregator.query(aggregator.fit.parent_key == found.identifier, aggregator.fit.kind == "grid")
    assert sorted(fit.grid_index for fit in cells) == [0, 1, 2, 3]
    assert {fit.name for fit in cells} == {"map"} and {fit.info["survey"] for fit in cells} == {"A"}
    by_index = {fit.grid_index: fit for fit in cells}
    for index, cell in enumerate(np.ndindex(2, 2)):
        assert by_index[index].max_log_likelihood == float(found.log_likelihoods[cell])
        assert found[cell].identifier == by_index[index].fit_key and not found[cell].from_catalog
    again = grid.fit(model, spectrum, ["centre", "flux"], catalog=place)
    assert len(cells) == len(cpm.Catalog(place)) == 4
    np.testing.assert_array_equal(again.parameters, found.parameters)
    assert all(result.from_catalog for result in again)
    other = grid.fit(model, spectrum, ["flux", "centre"], catalog=place)
    assert other.identifier != found.identifier
    np.testing.assert_array_equal(other.log_likelihoods.values.T, found.log_likelihoods.values)


def test_a_cell_that_fails_is_nan_and_named(spectrum):
    model = line()
    with pytest.warns(UserWarning, match=r"1 of 3 fits failed.*\n.*centre = 5: .*left half was not observed"):
        found = cpm.SearchGridSearch(quick(), 3).fit(model, Narrow(spectrum.data), [model.centre])
    assert np.isnan(found.log_likelihoods[0]) and np.all(np.isfinite(found.log_likelihoods[1:]))
    assert np.all(np.isnan(found.parameters[0])) and [item.name for item in found.failures] == ["centre = 5"]
    assert found.best_cell == (int(np.nanargmax(found.log_likelihoods)),)
    with pytest.raises(StudyError, match="The fit of centre = 5 failed"):
        found[0]
    assert len(list(found)) == 2


def test_cells_in_which_an_assertion_holds_nowhere_have_no_evidence_and_no_fit(spectrum):
    model = cpm.Collection(one=line(flux=2.0, width=2.0), two=line(flux=2.0, width=2.0))
    model.add_assertion(model.one.centre < model.two.centre)
    search = cpm.DynestyStatic(nlive=40, random_seed=1)
    found = cpm.SearchGridSearch(search, 2).fit(model, spectrum, [model.one.centre, model.two.centre])
    assert found.log_evidences.values[1, 0] == -np.inf and np.sum(np.isfinite(found.log_evidences)) == 3
    whole = search.fit(model, spectrum)
    error = np.hypot(whole.log_evidence_error, float(found.log_evidence_errors.max()))
    assert found.log_evidence == pytest.approx(whole.log_evidence, abs=4.0 * error)
    assert not found.failures and len(list(found)) == 3
    with pytest.raises(StudyError, match="holds nowhere at"):
        found[1, 0]
    likelihoods = cpm.SearchGridSearch(quick(), 2).fit(model, spectrum, ["one.centre", "two.centre"])
    assert np.all(np.isnan(likelihoods.log_evidences)) and likelihoods.best_cell != (1, 0)
    model.add_assertion(model.two.centre < 0.0)
    with pytest.raises(StudyError, match="holds in no cell"):
        cpm.SearchGridSearch(quick(), 2).fit(model, spectrum, ["one.centre", "two.centre"])


def test_if_all_cells_fail_it_is_an_error_with_all_reasons(spectrum):
    model = line(centre=cpm.UniformPrior(0.0, 10.0))
    with pytest.raises(StudyError, match="No fit of this study has succeeded") as caught:
        cpm.SearchGridSearch(quick(), 2).fit(model, Narrow(spectrum.data), ["centre"])
    assert "centre = 2.5, centre = 7.5: ValueError: the left half was not observed" in str(caught.value)
    assert [item.name for item in caught.value.failures] == ["centre = 2.5", "centre = 7.5"]


def test_a_picture_of_one_parameter_and_of_two(cube, nested):
    grid, _ = nested
    panel = grid.plot().axes[0]
    assert panel.get_xlabel() == "centre" and panel.get_ylabel() == "log evidence"
    figure = cube.plot(dims=("width", "flux"))
    panel = figure.axes[0]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("width", "flux")
    assert panel.get_yscale() == "log" and panel.get_xscale() == "linear"
    drawn = panel.collections[0].get_array().reshape(3, 2)
    np.testing.assert_allclose(drawn, cube.log_likelihoods.max("centre").values)
    with pytest.raises(SettingError, match="Did you mean `width`"):
        cube.plot(dims="widht")
    with pytest.raises(SettingError, match="There is no map of"):
        cube.plot("log_evidence")


def test_a_picture_of_a_prior_without_limits_ends_where_there_is_little_of_it(spectrum):
    model = line(centre=cpm.GaussianPrior(20.0, 2.0))
    found = cpm.SearchGridSearch(quick(), (3, 2)).fit(model, spectrum, ["centre", "flux"])
    assert found.log_likelihoods["centre.lower"][0] == -np.inf
    for dims in ("centre", None):
        low, high = found.plot(dims=dims).axes[0].get_xlim()
        assert 12.0 < low < 15.0 and 25.0 < high < 28.0


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"grid_priors": None}, SettingError, "grid_priors is missing"),
        ({"grid_priors": []}, SettingError, "names no prior"),
        ({"grid_priors": ["centr"]}, ModelError, "Did you mean `centre`"),
        ({"grid_priors": ["centre"], "on_change": "again"}, SettingError, "on_change"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(spectrum, tmp_path, arguments, kind, words):
    noted = Noted(spectrum.data, tmp_path / "run.txt")
    with pytest.raises(kind, match=words):
        cpm.SearchGridSearch(quick()).fit(line(), noted, catalog=tmp_path / "x.sqlite", **arguments)
    assert not list(tmp_path.iterdir())


def test_the_grid_is_the_same_on_one_core_on_two_and_on_a_cluster(cube, spectrum, processes, client):
    model = line()
    for where in ({"number_of_cores": 2}, {"executor": client}):
        grid = cpm.SearchGridSearch(quick(), number_of_steps=(2, 3, 2), **where)
        found = grid.fit(model, spectrum, [model.centre, model.flux, model.width])
        np.testing.assert_array_equal(found.parameters, cube.parameters)
        np.testing.assert_array_equal(found.log_likelihoods, cube.log_likelihoods)
        assert found.identifier == cube.identifier


STUDY = """
import sys
sys.path[:0] = {paths!r}
from spectra import Line, Noted, data_of, line, quick
import classy_pm as cpm
if __name__ == "__main__":
    folder = sys.argv[1]
    model = line()
    spectrum = Noted(data_of(Line(20.0, 5.0, 2.0)), folder + "/run.txt", pause=0.05)
    grid = cpm.SearchGridSearch(quick(progress=False), (5, 8), number_of_cores=2)
    grid.fit(model, spectrum, ["centre", "width"], catalog=folder + "/grid.sqlite")
"""


def test_a_study_of_40_cells_that_is_killed_half_way_runs_the_missing_ones_only(tmp_path):
    script, noted, place = (tmp_path / name for name in ("study.py", "run.txt", "grid.sqlite"))
    here = Path(__file__).parent
    script.write_text(STUDY.format(paths=[str(here), str(here.parents[1])]))

    def ran():
        return len(noted.read_text().split())

    def filed():
        if not place.exists():
            return 0
        with cpm.Catalog(place) as catalog:
            return len(catalog)

    first = subprocess.Popen([sys.executable, script, tmp_path], start_new_session=True)
    deadline = time.monotonic() + 120.0
    while filed() < 10:
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before, begun = filed(), ran()
    assert 10 <= before < 40
    spectrum = Noted(data_of(TRUTH), noted, pause=0.05)
    grid = cpm.SearchGridSearch(quick(progress=False), (5, 8))
    found = grid.fit(line(), spectrum, ["centre", "width"], catalog=place)
    assert ran() - begun == 40 - before == sum(not result.from_catalog for result in found)
    # Now all of it is read, and as it would be without a catalogue.
    found = grid.fit(line(), spectrum, ["centre", "width"], catalog=place)
    assert ran() - begun == 40 - before and all(result.from_catalog for result in found)
    alone = grid.fit(line(), Noted(data_of(TRUTH), noted), ["centre", "width"])
    np.testing.assert_array_equal(found.parameters, alone.parameters)
