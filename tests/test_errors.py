"""Errors: all faults at once, and suggestions that suggest the right thing."""

import pickle

import pytest

from classy_pm.errors import CatalogError, ClassyError, Faults, ModelError, did_you_mean


@pytest.mark.parametrize(
    ("given", "known", "wanted"),
    [
        ("sigam", ["centre", "sigma"], "`sigma`"),
        ("cores", ["progress", "number_of_cores"], "`number_of_cores`"),
        ("seed", ["draws", "random_seed"], "`random_seed`"),
        ("profile.center", ["profile", "profile.centre"], "`profile.centre`"),
        ("xyz", ["centre", "sigma"], "Known names: `centre`, `sigma`."),
        ("line.center", ["", "line.centre"], "mean `line.centre`?"),
        ("xyz", ["", "sigma"], "Known names: `sigma`."),
    ],
)
def test_the_near_name_is_suggested(given, known, wanted):
    assert wanted in did_you_mean(given, known)


def test_all_faults_are_told_at_once_with_the_cure():
    faults = Faults()
    faults.add("a.b", "is wrong")
    faults.add("c", "is missing")
    with pytest.raises(ModelError, match=r"(?s)Two\..*a\.b: is wrong.*c: is missing.*Write it\."):
        faults.raise_as(ModelError, "Two.", cure="Write it.")
    Faults().raise_as(ModelError, "None.")


@pytest.mark.parametrize("kind", [ClassyError, ModelError, CatalogError])
def test_errors_reach_other_processes_whole(kind):
    error = pickle.loads(pickle.dumps(kind("What.", ["a: b"], "Cure.")))
    assert type(error) is kind and str(error) == "What.\n  - a: b\nCure." and error.faults == ("a: b",)
