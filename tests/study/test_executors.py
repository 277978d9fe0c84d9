"""Where the fits of a study run; and what becomes of those whose process dies."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from spectra import Deadly, Line, Noted, Poisonous, Spectrum, Unsent, data_of, line, quick

import classy_pm as cpm
from classy_pm.errors import SettingError

DATA = {f"spectrum {number}": data_of(Line(10.0 + number, 3.0, 2.0), seed=number) for number in range(5)}


@pytest.fixture
def spectra():
    return {name: Spectrum(data) for name, data in DATA.items()}


def medians(fits):
    return fits.parameters.sel(statistic="median")


@pytest.fixture
def here(spectra):
    return medians(cpm.fit_many(line(), spectra, quick()))


@pytest.fixture(params=["processes", "cluster"])
def elsewhere(request):
    """How a study is told to run in other processes, of the tests."""
    if request.param == "cluster":
        return {"executor": request.getfixturevalue("client")}
    request.getfixturevalue("processes")
    return {"number_of_cores": 2}


@pytest.fixture(params=["processes", "cluster"])
def mortal(request):
    """The same, with processes that may die."""
    return (
        {"executor": request.getfixturevalue("client")}
        if request.param == "cluster"
        else {"number_of_cores": 2}
    )


def test_the_answer_is_the_same_wherever_it_is_computed(here, spectra, elsewhere, tmp_path):
    fits = cpm.fit_many(line(), spectra, quick(), catalog=tmp_path / "fits.sqlite", **elsewhere)
    np.testing.assert_array_equal(medians(fits), here)
    processes = {fits[name].attributes["seconds"] is not None for name in fits}
    assert processes == {True}
    in_memory = cpm.fit_many(line(), spectra, quick(), **elsewhere)
    np.testing.assert_array_equal(medians(in_memory), here)
    one = in_memory["spectrum 3"]
    np.testing.assert_array_equal(one.samples.vectors, fits["spectrum 3"].samples.vectors)


def test_workers_run_the_fits_and_this_process_alone_writes_the_index(elsewhere, tmp_path):
    spectra = [Noted(data, tmp_path / "run.txt") for data in DATA.values()]
    fits = cpm.fit_many(line(), spectra, quick(), catalog=tmp_path / "fits.sqlite", **elsewhere)
    ran = {int(number) for number in (tmp_path / "run.txt").read_text().split()}
    assert os.getpid() not in ran and len(ran) <= 2
    assert {result.saved["process"] for result in fits.values()} == ran
    assert not list((tmp_path / "fits.files" / "claims").glob("[0-9a-f]*"))
    assert not list((tmp_path / "fits.files" / "pending").glob("*.part"))


def test_a_poisonous_data_set_fails_alone(spectra, elsewhere, tmp_path):
    spectra["bad"] = Poisonous(DATA["spectrum 0"])
    store = cpm.Catalog(tmp_path / "fits.sqlite")
    with pytest.warns(UserWarning, match="1 of 6 fits failed.*\n.*bad: .*this data set is poisonous"):
        fits = cpm.fit_many(line(), spectra, quick(), catalog=store, **elsewhere)
    assert list(fits) == list(DATA)
    (failed,) = fits.failures
    assert failed.name == "bad" and "ZeroDivisionError" in failed.traceback
    with pytest.raises(cpm.ClassyError, match=r"The fit of bad failed: .*poisonous"):
        fits["bad"]
    (kept,) = store.failures()
    assert kept.fit_key == failed.key and "poisonous" in kept.error and kept.name == "bad"


@pytest.mark.slow
def test_a_data_set_that_kills_its_process_fails_alone(spectra, mortal, tmp_path):
    # Twice the same, so that one waits for the other.
    deadly = {name: Deadly(DATA["spectrum 0"]) for name in ("deadly", "again")}
    spectra = {**deadly, **spectra}
    with pytest.warns(UserWarning, match="2 of 7 fits failed.*\n.*deadly, again: The process .* died"):
        fits = cpm.fit_many(line(), spectra, quick(), catalog=tmp_path / "fits.sqlite", **mortal)
    assert list(fits) == list(DATA)


def test_a_worker_that_is_killed_in_the_middle_loses_nothing(mortal, tmp_path):
    noted = tmp_path / "run.txt"
    spectra = [Noted(data_of(Line(10.0, 3.0, 2.0), seed=seed), noted, pause=0.3) for seed in range(8)]

    def kill():
        deadline = time.monotonic() + 60.0
        while not noted.exists() or len(noted.read_text().split()) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(int(noted.read_text().split()[-1]), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    fits = cpm.fit_many(line(), spectra, quick(), catalog=tmp_path / "fits.sqlite", **mortal)
    killer.join()
    assert len(fits) == 8 and not fits.failures
    ran = noted.read_text().split()
    assert len(set(ran)) >= 3, "another process took the place of the one that was killed"
    assert len(ran) <= 10, "fits that were finished are not run again"


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_has_nothing_to_do_is_replaced(tmp_path):
    noted = tmp_path / "run.txt"

    def spectra():
        for seed in range(13):
            if seed == 11:  # the first ten are looked at before any is fitted
                deadline = time.monotonic() + 60.0
                while len(noted.read_text().split()) < 11:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                time.sleep(1.0)  # until all have ended
                for process in set(noted.read_text().split()):
                    os.kill(int(process), signal.SIGKILL)
                time.sleep(0.2)
            yield f"spectrum {seed}", Noted(data_of(Line(10.0, 3.0, 2.0), seed=seed), noted)

    fits = cpm.fit_many(line(), spectra(), quick(), number_of_cores=2, catalog=tmp_path / "fits.sqlite")
    assert len(fits) == 13 and not fits.failures


def test_what_cannot_be_sent_to_another_process_fails_alone(spectra, elsewhere):
    spectra["locked"] = Spectrum(DATA["spectrum 0"])
    spectra["locked"].lock = Unsent()
    with pytest.warns(UserWarning, match="1 of 6 fits failed.*\n.*locked: "):
        fits = cpm.fit_many(line(), spectra, quick(), **elsewhere)
    assert list(fits) == list(DATA)


@pytest.mark.parametrize("number", [0, -1, 2.0, True, "2"])
def test_a_number_of_cores_is_a_positive_integer(spectra, number):
    with pytest.raises(SettingError, match="number_of_cores"):
        cpm.fit_many(line(), spectra, quick(), number_of_cores=number)


def test_an_executor_is_a_client_of_dask(spectra):
    with pytest.raises(SettingError, match=r"executor: .* is no distributed.Client"):
        cpm.SearchGridSearch(quick(), executor=threading.Thread())


def test_a_closed_client_is_told_before_anything_is_written(spectra, _cluster, tmp_path):
    from distributed import Client

    client = Client(_cluster)
    client.close()
    with pytest.raises(cpm.ClassyError, match="The connection to the Dask cluster is closed"):
        cpm.fit_many(line(), spectra, quick(), executor=client, catalog=tmp_path / "fits.sqlite")
    assert not list(tmp_path.iterdir())
