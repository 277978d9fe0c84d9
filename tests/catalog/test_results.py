"""A filed fit is given back as model, samples and objects; no name in a file is ever looked up."""

import subprocess
import sys

import numpy as np
import pytest
from builders import make_record, make_tree

import classy_pm as cpm
from classy_pm.catalog import Aggregator, Catalog, UntrustedFile, class_ref
from classy_pm.errors import CatalogError
from classy_pm.model import Stranger


class Profile:
    def __init__(self, centre: tuple[float, float] = (0.0, 0.0), width=1.0):
        self.centre, self.width = centre, width

    def area(self):
        return np.pi * self.width**2


class Renamed(Profile):
    pass


def make_label(x):
    return {"label": x}


class Settings:
    def __init__(self, mode):
        self.mode = mode


class Distance(cpm.Analysis):
    def log_likelihood_function(self, instance):
        x, y = instance.profile.centre
        return -0.5 * (((x - 1.0) / 0.1) ** 2 + ((y - 2.0) / 0.1) ** 2 + (instance.profile.width - 3.0) ** 2)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    profile = cpm.Model(Profile, width=cpm.GaussianPrior(3.0, 1.0))
    profile.centre_0 = cpm.UniformPrior(-5.0, 5.0)
    profile.centre_1 = cpm.UniformPrior(-5.0, 5.0)
    profile.redshift = 0.5
    model = cpm.Collection(profile=profile, label=cpm.Model(make_label, x=profile.width))
    model.settings = Settings("fast")
    model.add_assertion(profile.width > 0.0)
    location = tmp_path_factory.mktemp("results") / "fits.sqlite"
    search = cpm.Emcee(nwalkers=20, nsteps=200, name="distance", random_seed=1)
    return search.fit(model, Distance(), catalog=location), location


@pytest.fixture
def agg(fitted):
    return Aggregator.from_database(fitted[1], read_only=True)


def test_the_samples_are_those_of_the_fit(agg, fitted):
    (samples,) = agg.query(agg.profile == Profile).values("samples")
    result, _ = fitted
    assert samples.names == result.samples.names
    np.testing.assert_array_equal(samples.vectors, result.samples.vectors)
    assert samples.log_likelihood_list == result.samples.log_likelihood_list
    instance = samples.max_log_likelihood_instance
    assert type(instance.profile) is Profile
    assert instance.profile.centre == result.max_log_likelihood_instance.profile.centre
    assert instance.profile.area() == result.max_log_likelihood_instance.profile.area()
    assert instance.profile.redshift == 0.5


def test_the_result_is_the_result(agg, fitted):
    (result,) = agg.register(Profile).values("result")
    assert result.identifier == fitted[0].identifier and result.from_catalog
    assert result.summary().equals(fitted[0].summary()) and result.notices == fitted[0].notices


def test_the_model_can_be_fitted_again(agg, fitted):
    (model,) = agg.register(Profile, make_label, Settings).values("model")
    again = cpm.Emcee(nwalkers=20, nsteps=200, random_seed=1).fit(model, Distance())
    assert again.identifier == fitted[0].identifier
    np.testing.assert_array_equal(again.samples.vectors, fitted[0].samples.vectors)


def test_classes_that_were_not_handed_over_are_strangers(agg, fitted):
    (instance,) = agg.values("instance")
    known = fitted[0].max_log_likelihood_instance
    assert isinstance(instance.profile, Stranger) and type(instance.profile) is not Profile
    assert type(instance.profile).class_reference == f"{__name__}:Profile"
    assert (instance.profile.centre_0, instance.profile.centre_1) == known.profile.centre
    assert instance.profile.width == known.profile.width and instance.profile.redshift == 0.5
    assert instance.settings.mode == "fast" and isinstance(instance.settings, Stranger)
    assert "width=" in repr(instance.profile)


def test_a_class_that_has_moved_is_known_by_its_old_name(agg):
    (instance,) = agg.alias(f"{__name__}:Profile", Renamed).values("instance")
    assert type(instance.profile) is Renamed


def test_a_class_of_another_notebook_is_not_taken_for_the_one_that_was_filed(tmp_path):
    def notebook(arguments):
        names = {"__name__": "__main__"}
        body = "; ".join(f"self.{name} = {name}" for name in arguments)
        exec(f"class Line:\n    def __init__(self, {', '.join(arguments)}): {body}", names)
        return names["Line"]

    filed, other = notebook(["centre", "sigma"]), notebook(["sigma", "centre"])
    model = cpm.Model(filed, centre=cpm.UniformPrior(0.0, 1.0), sigma=2.0)
    components = (("", class_ref(filed), ()),)
    with Catalog(tmp_path / "fits.sqlite") as catalog:
        catalog.file(make_record(model=model.to_dict(), components=components), make_tree())
        (known,) = Aggregator(catalog).register(filed).values("model")
        (strange,) = Aggregator(catalog).register(other).values("model")
    assert type(known.instance_from_vector([0.5])) is filed
    assert isinstance(strange.instance_from_vector([0.5]), Stranger)


def test_names_in_a_file_are_texts(tmp_path):
    """Neither importable modules nor those that are imported are asked for what a file names."""
    argument = "touch " + str(tmp_path / "marker")
    data = {
        "format": "classy-model-1",
        "root": {
            "id": 0,
            "type": "model",
            "class": "subprocess:Popen",
            "extras": [],
            "assertions": [],
            "children": [
                ["args", argument],
                ["shell", True],
                ["centre", {"id": 1, "type": "prior", "family": "GaussianPrior", **NORMAL}],
                ["other", {"type": "instance", "class": "os:system", "attributes": [["a", 1]]}],
            ],
        },
    }
    tree = make_tree()
    with Catalog(tmp_path / "fits.sqlite") as catalog:
        catalog.file(make_record(model=data), tree)
        (model,) = Aggregator(catalog).values("model")
    instance = model.instance_from_vector([1.0])
    assert isinstance(instance, Stranger) and type(instance).class_reference == "subprocess:Popen"
    assert not isinstance(instance, subprocess.Popen) and not (tmp_path / "marker").exists()


NORMAL = {"arguments": [["mean", 0.0], ["sigma", 1.0]]}
HOSTILE = {
    "no model": {"format": "other"},
    "a function of NumPy that reads files": {
        "type": "derived",
        "function": "fromfile",
        "operands": ["/etc/passwd"],
    },
    "a function of PyMC": {
        "type": "prior",
        "family": "Prior",
        "distribution": "pymc:sample",
        "arguments": [],
    },
    "a class of PyMC": {"type": "prior", "family": "Prior", "distribution": "pymc:Model", "arguments": []},
    "another package": {"type": "prior", "family": "Prior", "distribution": "os:system", "arguments": []},
    "an object array": {"type": "array", "dtype": "|O", "shape": [1], "data": "AAAAAAAAAAA="},
    "an array without end": {"type": "array", "dtype": "<f8", "shape": [2**40], "data": ""},
    "itself": {"type": "same", "id": 7},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_is_refused(tmp_path, name):
    root = {"id": 0, "type": "collection", "container": "instance", "assertions": []}
    root["children"] = [["x", {"id": 1, **HOSTILE[name]}]]
    data = HOSTILE[name] if name == "no model" else {"format": "classy-model-1", "root": root}
    with Catalog(tmp_path / "fits.sqlite") as catalog:
        catalog.file(make_record(model=data), make_tree())
        with pytest.raises(UntrustedFile, match="cannot be read"):
            list(Aggregator(catalog).values("model"))


def test_a_model_that_does_not_belong_to_the_draws_is_refused(tmp_path):
    model = cpm.Collection(profile=cpm.Model(Profile, centre_0=1.0, centre_1=2.0, width=cpm.UniformPrior()))
    with Catalog(tmp_path / "fits.sqlite") as catalog:
        catalog.file(make_record(model=model.to_dict()), make_tree())
        with pytest.raises(UntrustedFile, match="are not those of its draws"):
            list(Aggregator(catalog).values("samples"))


def test_a_fit_without_its_model_says_so(tmp_path):
    with Catalog(tmp_path / "fits.sqlite") as catalog:
        catalog.file(make_record(), make_tree())
        with pytest.raises(CatalogError, match="filed without its model"):
            list(Aggregator(catalog).values("samples"))


def test_a_list_of_fits_needs_neither_pymc_nor_arviz(fitted):
    code = (
        "import sys, classy_pm as cpm; "
        f"agg = cpm.Aggregator.from_database({str(fitted[1])!r}, read_only=True); "
        "assert len(agg) == 1 and agg[0].name == 'distance'; "
        "assert not {'pymc', 'pytensor', 'arviz_stats', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
