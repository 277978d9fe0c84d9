"""Many data sets: each is fitted by itself, and one model is traced and compiled once for all."""

import dataclasses

import numpy as np
import pytest
from spectra import Line, Noted, Poisonous, Spectrum, data_of, line, quick

import classy_pm as cpm
from classy_pm.errors import SettingError, StudyError
from classy_pm.search import reuse
from classy_pm.search.reuse import Reuse
from classy_pm.study import executors

NAMES = ["Andromeda", "Triangulum", "Sculptor"]


class Constant(cpm.Analysis):
    """Tells nothing of its parameter."""

    def log_likelihood_function(self, instance):
        return 0.0 * instance.seconds


FORMER = Spectrum.log_likelihood_function


def halved(self, instance):
    return 0.5 * FORMER(self, instance)


@pytest.fixture(scope="module")
def spectra():
    return {name: Spectrum(data_of(Line(10.0 + k, 3.0, 2.0), seed=k)) for k, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def fits(spectra):
    return cpm.fit_many(line(), spectra, quick())


def test_each_data_set_has_the_result_of_a_fit_of_its_own(fits, spectra):
    assert list(fits) == NAMES and len(fits) == 3 and "Sculptor" in fits and not fits.failures
    for name, analysis in spectra.items():
        alone = quick().fit(line(), analysis)
        np.testing.assert_array_equal(fits[name].samples.vectors, alone.samples.vectors)
        assert fits[name].identifier == alone.identifier
    assert fits.get("Fornax") is None and fits.get("Fornax", 1) == 1
    with pytest.raises(StudyError, match="Did you mean `Sculptor`"):
        fits["Sculptr"]


def test_tables_have_a_row_for_each_data_set(fits):
    table = fits.summary()
    assert table.index.tolist() == NAMES and table.index.name == "data_set"
    assert {"centre", "flux", "width", "max_log_likelihood", "seconds"} <= set(table.columns)
    for name in NAMES:
        assert table.loc[name, "centre"] == pytest.approx(fits[name].samples.median_pdf_vector[0])
        assert fits.summary("sd").loc[name, "flux"] == pytest.approx(
            float(fits[name].summary()["sd"]["flux"])
        )
    assert fits.parameters.dims == ("data_set", "parameter", "statistic")
    with pytest.raises(SettingError, match="There is no statistic 'mode'"):
        fits.summary("mode")


def test_a_parameter_that_is_called_like_a_fact_of_the_fit_is_told_apart():
    alone = cpm.fit_many(cpm.Collection(seconds=cpm.UniformPrior(0.0, 1.0)), {"one": Constant()}, quick())
    table = alone.summary("mean")
    assert table.loc["one", "seconds:mean"] == pytest.approx(0.5, abs=0.2)
    assert table.loc["one", "seconds"] == alone._good["one"].seconds


def test_notes_can_be_of_each_data_set(spectra, tmp_path):
    redshifts = dict(zip(NAMES, (0.1, 0.2, 0.3), strict=True))
    place = tmp_path / "fits.sqlite"
    cpm.fit_many(line(), spectra, quick(), catalog=place, info=lambda name: {"z": redshifts[name]})
    aggregator = cpm.Aggregator.from_database(place)
    (far,) = aggregator.query(aggregator.info["z"] > 0.25)
    assert far.name == "Sculptor"


def test_a_list_has_numbers_for_names_and_a_generator_is_taken_one_by_one(spectra, tmp_path):
    taken = []

    def generated():
        for name, analysis in spectra.items():
            taken.append(name)
            yield name, analysis

    by_number = cpm.fit_many(line(), list(spectra.values()), quick())
    assert list(by_number) == ["data_set_0", "data_set_1", "data_set_2"]
    by_name = cpm.fit_many(line(), generated(), quick(), catalog=tmp_path / "fits.sqlite")
    assert list(by_name) == NAMES == taken
    np.testing.assert_array_equal(by_name.parameters, by_number.parameters)


def test_fits_are_filed_under_the_names_of_their_data_sets(spectra, tmp_path):
    place = tmp_path / "fits.sqlite"
    fits = cpm.fit_many(line(), spectra, quick(), catalog=place, info={"survey": "LG"})
    aggregator = cpm.Aggregator.from_database(place)
    filed = list(aggregator.query(aggregator.fit.parent_key == fits.identifier))
    assert [fit.name for fit in filed] == NAMES and [fit.grid_index for fit in filed] == [0, 1, 2]
    assert {fit.kind for fit in filed} == {"dataset"}
    (one,) = aggregator.query(aggregator.search.name == "Triangulum", aggregator.info["survey"] == "LG")
    assert one.fit_key == fits["Triangulum"].identifier


def test_what_is_there_is_read_and_what_failed_is_tried_again(spectra, tmp_path, monkeypatch):
    place, noted = tmp_path / "fits.sqlite", tmp_path / "run.txt"
    data = {name: Noted(analysis.data, noted) for name, analysis in spectra.items()}
    bad = {**data, "bad": Poisonous(data["Sculptor"].data)}
    for attempt in (1, 2):
        with pytest.warns(UserWarning, match=r"1 of 4 fits failed.*\n.*bad: .*poisonous"):
            fits = cpm.fit_many(line(), bad, quick(), catalog=place)
        assert list(fits) == NAMES and len(noted.read_text().split()) == 3
        assert [failure.attempts for failure in cpm.Catalog(place).failures()] == [attempt]
    monkeypatch.setattr(Poisonous, "log_likelihood_function", FORMER)  # as if its bug had been fixed
    fits = cpm.fit_many(line(), bad, quick(), catalog=place)
    assert list(fits) == list(bad) and not cpm.Catalog(place).failures()
    assert [fits.summary()["from_catalog"][name] for name in bad] == [True, True, True, False]


def test_the_same_data_twice_are_fitted_once(spectra, tmp_path):
    noted = tmp_path / "run.txt"
    one = spectra["Sculptor"].data
    twins = {"one": Noted(one, noted), "other": Noted(one.copy(), noted)}
    fits = cpm.fit_many(line(), twins, quick(), catalog=tmp_path / "fits.sqlite")
    assert list(fits) == ["one", "other"] and len(noted.read_text().split()) == 1
    assert fits["one"].identifier == fits["other"].identifier


def test_a_changed_likelihood_is_told_and_run_again_if_wanted(spectra, tmp_path, monkeypatch):
    place = tmp_path / "fits.sqlite"
    before = cpm.fit_many(line(), spectra, quick(), catalog=place)
    monkeypatch.setattr(Spectrum, "log_likelihood_function", halved)
    with pytest.raises(cpm.ClassyError, match="computes something else"):
        cpm.fit_many(line(), spectra, quick(), catalog=place)
    after = cpm.fit_many(line(), spectra, quick(), catalog=place, on_change="rerun")
    assert len(cpm.Catalog(place)) == 3 and not after.failures
    for name, analysis in spectra.items():
        today = quick().fit(line(), analysis)
        np.testing.assert_array_equal(after[name].samples.vectors, today.samples.vectors)
        assert after[name].samples.max_log_likelihood != before.summary()["max_log_likelihood"][name]
    again = cpm.fit_many(line(), spectra, quick(), catalog=place)
    np.testing.assert_array_equal(again.parameters, after.parameters)


def test_a_likelihood_that_raises_today_fails_alone(spectra, tmp_path, monkeypatch):
    place = tmp_path / "fits.sqlite"
    data = {**spectra, "other": Poisonous(spectra["Sculptor"].data)}
    monkeypatch.setattr(Poisonous, "log_likelihood_function", FORMER)
    cpm.fit_many(line(), data, quick(), catalog=place)
    monkeypatch.undo()
    for on_change in ("error", "rerun"):
        with pytest.warns(UserWarning, match=r"1 of 4 fits failed.*\n.*other: .*poisonous"):
            fits = cpm.fit_many(line(), data, quick(), catalog=place, on_change=on_change)
        assert list(fits) == NAMES
    assert len(cpm.fit_many(line(), data, quick(), catalog=place, on_change="reuse")) == 4


def test_what_another_process_files_meanwhile_is_the_answer(spectra, tmp_path, monkeypatch):
    store = cpm.Catalog(tmp_path / "fits.sqlite")
    former = executors.run_job

    def slower(job, *rest):
        outcome = former(job, *rest)
        store.file(dataclasses.replace(outcome.record, run_id="0" * 32), outcome.tree)
        return outcome

    monkeypatch.setattr(executors, "run_job", slower)
    fits = cpm.fit_many(line(), spectra, quick(), catalog=store)
    assert list(fits) == NAMES and {fit.run_id for fit in store} == {"0" * 32}
    assert fits.summary()["from_catalog"].all()
    assert not list((tmp_path / "fits.files" / "claims").glob("[0-9a-f]*"))


def test_an_analysis_that_cannot_be_looked_through_is_fitted(spectra, monkeypatch):
    monkeypatch.setattr(reuse, "read", lambda *_: 1 / 0)
    fits = cpm.fit_many(line(), spectra, quick())
    assert list(fits) == NAMES


def test_a_generator_that_fills_one_analysis_anew_is_refused():
    spectrum = Spectrum(np.zeros(30))

    def refilled():
        for seed in range(3):
            spectrum.data = data_of(Line(10.0, 3.0, 2.0), seed=seed)
            yield spectrum

    with pytest.raises(SettingError, match="'data_set_1' is the same object as one before it"):
        cpm.fit_many(line(), refilled(), quick())
    with pytest.raises(SettingError, match="There is no data set"):
        cpm.fit_many(line(), iter(()), quick())


@pytest.mark.parametrize(
    ("analyses", "kind", "words"),
    [
        ([], SettingError, "There is no data set"),
        (Spectrum(np.zeros(30)), SettingError, "are not several data sets"),
        (3.0, SettingError, "are not several data sets"),
        ({1: Spectrum(np.zeros(30))}, SettingError, "1 is no name of a data set"),
        ([("a", Spectrum(np.zeros(30))), ("a", Spectrum(np.ones(30)))], SettingError, "is the name of two"),
        ([3.0], StudyError, "An Analysis is needed, not 3.0"),
        ([Spectrum], StudyError, r"not the class Spectrum.\n.*Write Spectrum\(data"),
    ],
)
def test_what_are_no_data_sets_is_refused(analyses, kind, words):
    with pytest.raises(kind, match=words):
        cpm.fit_many(line(), analyses, quick())


def test_model_and_search_are_checked_before_any_data_set_is(tmp_path):
    noted = [Noted(np.zeros(30), tmp_path / "run.txt")]
    with pytest.raises(SettingError, match="is no search"):
        cpm.fit_many(line(), noted, "NUTS")
    with pytest.raises(SettingError, match=r"  - model: .*\n  - search: .*\nWrite fit_many"):
        cpm.fit_many(Line, noted, noted)
    factor = cpm.AnalysisFactor(line(), noted[0])
    with pytest.raises(SettingError, match="has its data sets already"):
        cpm.fit_many(cpm.FactorGraphModel(factor), noted, quick())
    assert not (tmp_path / "run.txt").exists()


def test_data_that_cannot_be_fitted_fail_alone(spectra):
    data = np.full(30, np.nan)
    with pytest.warns(UserWarning, match=r"1 of 4 fits failed.*\n.*blank: .*NaN"):
        fits = cpm.fit_many(line(), {"blank": Spectrum(data), **spectra}, quick())
    assert list(fits) == NAMES and fits.failures[0].key == ""


def test_one_graph_serves_all_data_sets(spectra, monkeypatch):
    made = []
    monkeypatch.setattr(executors, "Reuse", lambda *args: made.append(Reuse(*args)) or made[-1])
    search = cpm.NUTS(draws=300, tune=300, chains=2, random_seed=1)
    fits = cpm.fit_many(line(), spectra, search)
    assert (made[0].made, made[0].used, made[0].ordinary) == (1, 2, 0)
    for number, name in enumerate(NAMES):
        table = fits[name].summary()
        assert abs(table["median"]["centre"] - 10.0 - number) < 5.0 * table["sd"]["centre"]
    backwards = cpm.fit_many(line(), dict(reversed(spectra.items())), search)
    for name in NAMES:
        np.testing.assert_array_equal(fits[name].samples.vectors, backwards[name].samples.vectors)
