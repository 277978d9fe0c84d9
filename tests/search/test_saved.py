"""What an analysis saves with a fit is found again, with the fit and in the catalogue."""

import numpy as np
import pytest
from known_posterior import Normal, normal_model

import classy_pm as cpm
from classy_pm.errors import CatalogError

SAVED = {
    "data": np.array([[1.0, np.nan], [np.inf, -0.0]]),
    "mask": np.array([True, False]),
    "count": np.array(7, dtype=np.int16),
    "bands": np.array(["g", "Ünï"]),
    "observation": {"telescope": "O'Brien", "exposures": [1, 2.5, None], "nested": {"deep": True}},
    "redshift": 0.5,
}


class Saving(Normal):
    allow_nan = True

    def __init__(self, saved):
        self.saved = saved

    def __identity__(self):
        return {}

    def save_attributes(self, paths):
        for name, value in self.saved.items():
            paths.save(name, value)


def search():
    return cpm.Emcee(nwalkers=10, nsteps=50, random_seed=1)


def assert_saved(found):
    assert found.keys() == SAVED.keys()
    for name, value in SAVED.items():
        np.testing.assert_array_equal(found[name], value)
        if isinstance(value, np.ndarray):
            assert found[name].dtype.kind == value.dtype.kind and found[name].shape == value.shape
    assert found["observation"] == SAVED["observation"]


def test_what_is_saved_is_found_with_the_fit_and_in_the_catalogue(tmp_path):
    result = search().fit(normal_model(), Saving(SAVED), catalog=tmp_path / "fits.sqlite")
    assert_saved(result.saved)
    again = search().fit(normal_model(), Saving({}), catalog=tmp_path / "fits.sqlite")
    assert again.from_catalog
    assert_saved(again.saved)
    agg = cpm.Aggregator.from_database(tmp_path / "fits.sqlite")
    (saved,) = agg.values("saved")
    assert_saved(saved)


def test_without_a_catalogue_nothing_is_saved():
    assert search().fit(normal_model(), Saving(SAVED)).saved == {}


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("data", np.array([object()]), "array of the type ndarray, object"),
        ("data", np.ma.masked_array([1.0], [True]), "its data and its mask"),
        ("data", np.array([1j]), "complex128"),
        ("data", np.array(["a\0b"]), "NUL"),
        ("data", {"function": print}, "info.data.function"),
        ("no identifier", 1.0, "is no identifier"),
        ("../data", 1.0, "is no identifier"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_the_fit(tmp_path, name, value, match):
    class Called(Saving):
        def log_likelihood_function(self, instance):
            raise AssertionError("the fit has begun")

    with pytest.raises(CatalogError, match=match):
        search().fit(normal_model(), Called({name: value}), catalog=tmp_path / "fits.sqlite")
    assert not list(tmp_path.rglob("*.nc"))
