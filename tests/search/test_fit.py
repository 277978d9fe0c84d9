"""A fit and the catalogue: read if it is there, refused before anything is done, filed whole."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import CatalogError, ClassyError


@pytest.fixture
def emcee():
    return cpm.Emcee(nwalkers=10, nsteps=40, random_seed=1)


def test_a_fit_that_is_there_is_read_not_run(tmp_path, gaussian_model, gaussian_analysis, emcee):
    database = tmp_path / "fits.sqlite"
    first = emcee.fit(gaussian_model, gaussian_analysis, catalog=database, info={"survey": "test"})

    def fail(instance):
        raise AssertionError("the fit was run again")

    type(gaussian_analysis).log_likelihood_function, original = (
        lambda self, instance: fail(instance),
        type(gaussian_analysis).log_likelihood_function,
    )
    try:
        again = emcee.fit(gaussian_model, gaussian_analysis, catalog=database)
    finally:
        type(gaussian_analysis).log_likelihood_function = original
    assert again.identifier == first.identifier and again.from_catalog and not first.from_catalog
    np.testing.assert_array_equal(again.samples.parameter_lists, first.samples.parameter_lists)
    assert again.attributes["search"] == "Emcee" and again.notices == first.notices
    with cpm.Catalog(database) as catalog:
        assert len(catalog) == 1
        (stored,) = catalog
        assert stored.info == {"survey": "test"}


def test_whatever_changes_the_answer_changes_the_identity(gaussian_model, gaussian_analysis, emcee):
    def identifier(model=gaussian_model, analysis=gaussian_analysis, search=emcee):
        from classy_pm.catalog import fit_key
        from classy_pm.plan import make_plan

        return fit_key(search._identity(make_plan(model), analysis))

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
