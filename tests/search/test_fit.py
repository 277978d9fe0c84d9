"""A fit and the catalogue: read if it is there, refused before anything is done, filed whole."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.catalog import StaleFitError
from classy_pm.errors import CatalogError, ClassyError
from classy_pm.plan import make_plan
from classy_pm.search.identity import Identity


@pytest.fixture
def emcee():
    return cpm.Emcee(nwalkers=10, nsteps=40, random_seed=1)


CALLS = []


def test_a_fit_that_is_there_is_read_not_run(tmp_path, gaussian_model, gaussian_analysis, emcee):
    class Counting(type(gaussian_analysis)):
        def log_likelihood_function(self, instance):
            CALLS.append(1)
            return super().log_likelihood_function(instance)

    analysis = Counting(gaussian_analysis.data, gaussian_analysis.noise_map)
    database = tmp_path / "fits.sqlite"
    first = emcee.fit(gaussian_model, analysis, catalog=database, info={"survey": "test"})
    CALLS.clear()
    again = emcee.fit(gaussian_model, analysis, catalog=database)
    assert len(CALLS) == 13, "a few of its draws and of the prior are looked at, and no more"
    assert again.identifier == first.identifier and again.from_catalog and not first.from_catalog
    np.testing.assert_array_equal(again.samples.parameter_lists, first.samples.parameter_lists)
    assert again.attributes["search"] == "Emcee" and again.notices == first.notices
    with cpm.Catalog(database) as catalog:
        assert len(catalog) == 1
        (stored,) = catalog
        assert stored.info == {"survey": "test"}


def test_whatever_changes_the_answer_changes_the_identity(gaussian_model, gaussian_analysis, emcee):
    def identifier(model=gaussian_model, analysis=gaussian_analysis, search=emcee):
        return Identity.of(search, make_plan(model), analysis).key

    base = identifier()
    assert identifier() == base
    same = cpm.Emcee(name="label", nwalkers=10, nsteps=40, random_seed=1, number_of_cores=2, progress=False)
    assert identifier(search=same) == base
    others = [
        identifier(search=cpm.Emcee(nwalkers=10, nsteps=41, random_seed=1)),
        identifier(search=cpm.Emcee(nwalkers=10, nsteps=40, random_seed=2)),
        identifier(search=cpm.Emcee(nwalkers=10, nsteps=40, random_seed=1, unique_tag="again")),
        identifier(
            search=cpm.Emcee(nwalkers=10, nsteps=40, random_seed=1, initializer=cpm.InitializerBall())
        ),
        identifier(search=cpm.NUTS(random_seed=1)),
        identifier(
            analysis=type(gaussian_analysis)(gaussian_analysis.data + 1e-10, gaussian_analysis.noise_map)
        ),
    ]
    linked = cpm.Model(gaussian_model.cls, centre=gaussian_model.centre, intensity=gaussian_model.intensity)
    linked.sigma = gaussian_model.centre
    others.append(identifier(model=linked))
    gaussian_model.add_assertion(gaussian_model.sigma > 1e-10)
    others.append(identifier())
    assert len({base, *others}) == len(others) + 1


FAULTS = {
    "wrong class argument": lambda model, analysis: cpm.Model(model.cls, centr=1.0),
    "data with NaN": lambda model, analysis: (
        analysis.data.__setitem__(0, np.nan),
        cpm.Emcee().fit(model, analysis, catalog="fits.sqlite"),
    ),
    "missing prior": lambda model, analysis: cpm.NUTS().fit(
        cpm.Model(model.cls), analysis, catalog="fits.sqlite"
    ),
    "unknown setting": lambda model, analysis: cpm.NUTS(drawz=3).fit(model, analysis, catalog="fits.sqlite"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_clear_error_and_leaves_nothing(
    fault, tmp_path, monkeypatch, gaussian_model, gaussian_analysis
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClassyError) as caught:
        FAULTS[fault](gaussian_model, gaussian_analysis)
    assert caught.value.__cause__ is None and len(str(caught.value)) > 30
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_catalogue_is_refused_before_sampling(
    tmp_path, gaussian_model, gaussian_analysis, emcee
):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    with pytest.raises(CatalogError):
        emcee.fit(gaussian_model, gaussian_analysis, catalog=in_the_way / "fits.sqlite")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_no_catalogue_can_keep_is_refused_before_sampling(
    gaussian_model, gaussian_analysis, tmp_path, monkeypatch
):
    monkeypatch.setattr("classy_pm.catalog.records.MOST_MANIFEST", 1000)
    monkeypatch.setattr(cpm.Emcee, "_run", lambda search, problem: pytest.fail("it was run"))
    with pytest.raises(CatalogError, match="at most 1000"):
        cpm.Emcee().fit(gaussian_model, gaussian_analysis, catalog=tmp_path / "fits.sqlite")


def test_a_fit_that_fails_leaves_an_empty_catalogue_folder(
    tmp_path, gaussian_model, gaussian_analysis, emcee
):
    class Breaks(type(gaussian_analysis)):
        def log_likelihood_function(self, instance):
            if instance.centre > 50.0:
                raise ZeroDivisionError("by the user")
            return 0.0

    with pytest.raises(ZeroDivisionError):
        emcee.fit(
            gaussian_model,
            Breaks(gaussian_analysis.data, gaussian_analysis.noise_map),
            catalog=tmp_path / "fits.sqlite",
        )
    assert list(tmp_path.rglob("*.nc")) == [] and list(tmp_path.rglob("*.part")) == []


def test_info_that_cannot_be_stored_is_refused_before_sampling(
    tmp_path, gaussian_model, gaussian_analysis, emcee
):
    with pytest.raises(ClassyError, match="survey"):
        emcee.fit(gaussian_model, gaussian_analysis, catalog=tmp_path / "f.sqlite", info={"survey": object()})
    assert list(tmp_path.iterdir()) == []


def test_an_analysis_that_its_likelihood_changes_is_told(gaussian_model, gaussian_analysis, emcee):
    class Drifting(type(gaussian_analysis)):
        def log_likelihood_function(self, instance):
            self.data -= 1e-6
            return super().log_likelihood_function(instance)

    result = emcee.fit(gaussian_model, Drifting(gaussian_analysis.data, gaussian_analysis.noise_map))
    assert any("was changed while it was fitted" in notice for notice in result.notices)


def test_arviz_is_not_given_totals_for_pointwise_terms(gaussian_model, gaussian_analysis, emcee):
    idata = emcee.fit(gaussian_model, gaussian_analysis).idata
    assert "log_likelihood" not in idata.children and "log_likelihood" not in idata["sample_stats"]


def test_a_result_can_be_pickled(gaussian_model, gaussian_analysis, emcee):
    import pickle

    result = emcee.fit(gaussian_model, gaussian_analysis)
    again = pickle.loads(pickle.dumps(result))
    assert again.samples.parameter_lists == result.samples.parameter_lists
    assert again.instance.centre == result.instance.centre


OFFSET = 0.0


def test_a_likelihood_that_was_changed_is_not_answered_by_an_old_fit(
    tmp_path, monkeypatch, gaussian_model, gaussian_analysis, emcee
):
    class Global(type(gaussian_analysis)):
        def log_likelihood_function(self, instance):
            return super().log_likelihood_function(instance) + OFFSET

    analysis = Global(gaussian_analysis.data, gaussian_analysis.noise_map)
    emcee.fit(gaussian_model, analysis, catalog=tmp_path / "fits.sqlite")
    monkeypatch.setitem(globals(), "OFFSET", 1.0)
    with pytest.raises(StaleFitError, match="identity_version"):
        emcee.fit(gaussian_model, analysis, catalog=tmp_path / "fits.sqlite")
    monkeypatch.setattr(Global, "identity_version", 2, raising=False)
    emcee.fit(gaussian_model, analysis, catalog=tmp_path / "fits.sqlite")
    with cpm.Catalog(tmp_path / "fits.sqlite") as catalog:
        assert len(catalog) == 2


class Shifted(cpm.Analysis):
    """Takes a number from elsewhere, as no analysis should."""

    def log_likelihood_function(self, instance):
        return -0.5 * (instance.x - OFFSET) ** 2


@pytest.fixture
def changed(tmp_path, monkeypatch, emcee):
    """A filed fit, tagged, whose likelihood gives other values now."""
    model = cpm.Collection(x=cpm.GaussianPrior(0.0, 1.0))
    database = tmp_path / "fits.sqlite"
    first = emcee.fit(model, Shifted(), catalog=database)
    with cpm.Catalog(database) as catalog:
        catalog.tag(first.identifier, "good")
    monkeypatch.setitem(globals(), "OFFSET", 1.0)
    return database, model, first


def test_a_changed_likelihood_can_be_told_or_passed_over(changed, emcee):
    database, model, first = changed
    with pytest.warns(UserWarning, match="computes something else today") as told:
        warned = emcee.fit(model, Shifted(), catalog=database, on_change="warn")
    assert told[0].filename == __file__
    reused = emcee.fit(model, Shifted(), catalog=database, on_change="reuse")
    for result in (warned, reused):
        assert result.from_catalog
        np.testing.assert_array_equal(result.samples.vectors, first.samples.vectors)
    with pytest.raises(ClassyError, match="Did you mean `rerun`"):
        emcee.fit(model, Shifted(), catalog=database, on_change="rerum")


def test_a_changed_likelihood_can_have_its_fit_run_again(changed, emcee):
    database, model, first = changed
    again = emcee.fit(model, Shifted(), catalog=database, on_change="rerun")
    assert not again.from_catalog and again.identifier == first.identifier
    assert not np.array_equal(again.samples.vectors, first.samples.vectors)
    with cpm.Catalog(database) as catalog:
        (stored,) = catalog
        assert stored.tags == ["good"]
        assert not catalog.verify()
        old = [path.name for path in catalog.layout.quarantine.glob("*.nc")]
        assert len(old) == 1 and stored.run_id not in old[0], "the old file is kept"
    for on_change in ("error", "rerun"):
        read = emcee.fit(model, Shifted(), catalog=database, on_change=on_change)
        assert read.from_catalog
        np.testing.assert_array_equal(read.samples.vectors, again.samples.vectors)


def test_a_fit_whose_file_is_damaged_can_be_run_again(tmp_path, emcee, gaussian_model, gaussian_analysis):
    database = tmp_path / "fits.sqlite"
    first = emcee.fit(gaussian_model, gaussian_analysis, catalog=database)
    with cpm.Catalog(database) as catalog:
        path = catalog.get(first.identifier).path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(cpm.catalog.DamagedFile, match="has changed since it was filed"):
        emcee.fit(gaussian_model, gaussian_analysis, catalog=database)
    again = emcee.fit(gaussian_model, gaussian_analysis, catalog=database, on_change="rerun")
    assert not again.from_catalog
    np.testing.assert_array_equal(again.samples.vectors, first.samples.vectors)
    assert emcee.fit(gaussian_model, gaussian_analysis, catalog=database).from_catalog
    with cpm.Catalog(database) as catalog:
        assert not catalog.verify()


def test_notes_given_with_a_fit_that_is_in_the_catalogue_are_kept(
    tmp_path, emcee, gaussian_model, gaussian_analysis
):
    database = tmp_path / "fits.sqlite"
    for info in ({"survey": "SLACS"}, {"redshift": 0.2}, {"survey": "BELLS"}, None):
        emcee.fit(gaussian_model, gaussian_analysis, catalog=database, info=info)
    with cpm.Catalog(database) as catalog:
        (stored,) = catalog
        assert stored.info == {"survey": "BELLS", "redshift": 0.2}


def test_a_new_run_that_fails_leaves_the_old_one_in_its_place(changed, monkeypatch, emcee):
    database, model, first = changed
    monkeypatch.setattr(cpm.Emcee, "_run", lambda self, problem: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        emcee.fit(model, Shifted(), catalog=database, on_change="rerun")
    read = emcee.fit(model, Shifted(), catalog=database, on_change="reuse")
    np.testing.assert_array_equal(read.samples.vectors, first.samples.vectors)


def test_a_fit_that_fails_is_told_by_the_catalogue_until_it_succeeds(
    tmp_path, monkeypatch, gaussian_model, gaussian_analysis, emcee
):
    class Breaks(type(gaussian_analysis)):
        def log_likelihood_function(self, instance):
            if OFFSET == 0.0:
                raise ZeroDivisionError("by the user")
            return super().log_likelihood_function(instance)

    analysis = Breaks(gaussian_analysis.data, gaussian_analysis.noise_map)
    with cpm.Catalog(tmp_path / "fits.sqlite") as catalog:
        with pytest.raises(ZeroDivisionError):
            emcee.fit(gaussian_model, analysis, catalog=catalog)
        (failure,) = catalog.failures()
        assert failure.search == "Emcee"
        assert failure.error.startswith("ZeroDivisionError: by the user\nThe parameters")
        assert "log_likelihood_function" in failure.traceback
        assert len(catalog) == 0 and failure.fit_key not in catalog
        monkeypatch.setitem(globals(), "OFFSET", 1.0)
        emcee.fit(gaussian_model, analysis, catalog=catalog)
        assert catalog.failures() == [] and len(catalog) == 1
