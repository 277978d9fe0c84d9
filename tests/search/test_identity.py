"""Identities of real fits: of all that the answer depends on, and the same in every process and version."""

import os
import subprocess
import sys

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.demo import TRANSMITTANCE, WAVELENGTH, Gaussian, LineAnalysis
from classy_pm.plan import make_plan
from classy_pm.search.identity import Identity


def make_model(upper=455.0, *, linked=False, assertion=None):
    line = cpm.Model(Gaussian)
    line.centre = cpm.UniformPrior(448.0, upper)
    line.intensity = cpm.UniformPrior(3.0, 5.0)
    line.sigma = line.intensity if linked else cpm.UniformPrior(3.0, 5.0)
    model = cpm.Collection(line=line, noise=cpm.LogUniformPrior(2e-3, 3e-2))
    if assertion is not None:
        model.add_assertion(line.sigma > assertion)
    return model


def key(search=None, model=None, data=TRANSMITTANCE):
    search = cpm.Emcee(nwalkers=10, nsteps=40, random_seed=1) if search is None else search
    model = make_model() if model is None else model
    return Identity.of(search, make_plan(model), LineAnalysis(WAVELENGTH, data)).key


def shifted(amount):
    data = np.zeros_like(TRANSMITTANCE)
    data[3] = amount
    return data


#: Fits of which no two have the same answer.
FITS = {
    "base": key,
    "number of steps": lambda: key(cpm.Emcee(nwalkers=10, nsteps=41, random_seed=1)),
    "seed": lambda: key(cpm.Emcee(nwalkers=10, nsteps=40, random_seed=2)),
    "no seed": lambda: key(cpm.Emcee(nwalkers=10, nsteps=40)),
    "tag": lambda: key(cpm.Emcee(nwalkers=10, nsteps=40, random_seed=1, unique_tag="O'Brien")),
    "search": lambda: key(cpm.NUTS(random_seed=1)),
    "setting": lambda: key(cpm.NUTS(random_seed=1, target_accept=0.9)),
    "prior": lambda: key(model=make_model(455.0 + 1e-10)),
    "linked": lambda: key(model=make_model(linked=True)),
    "assertion": lambda: key(model=make_model(assertion=0.0)),
    "assertion by 1e-10": lambda: key(model=make_model(assertion=1e-10)),
    "assertion by 3e-10": lambda: key(model=make_model(assertion=3e-10)),
    "data of zeros": lambda: key(data=shifted(0.0)),
    "data with 1e-10": lambda: key(data=shifted(1e-10)),
    "data with 3e-10": lambda: key(data=shifted(3e-10)),
    "data with 1e-300": lambda: key(data=shifted(1e-300)),
    "data in single precision": lambda: key(data=TRANSMITTANCE.astype(np.float32)),
}


def test_whatever_changes_the_answer_changes_the_identity():
    assert len({make() for make in FITS.values()}) == len(FITS)


@pytest.mark.parametrize(
    "setting", [{"name": "a"}, {"number_of_cores": 2}, {"progress": True}, {"checkpoint_interval": 1.0}]
)
def test_what_does_not_change_the_answer_does_not_change_the_identity(setting):
    assert key(cpm.Emcee(nwalkers=10, nsteps=40, random_seed=1, **setting)) == key()
    assert key(data=shifted(-0.0)) == key(data=shifted(0.0))


#: Keys as they are in catalogues that exist. One that changes means that all fits of its kind are run again:
#: then say so in the changelog.
GOLDEN = {
    "base": "bada7600c306e77db2400362e95ab75b72ac26bdbed8a48d569114a14a9c40ee",
    "assertion by 1e-10": "125797f2ed203f2169f8c6636d2e1a3315f8a9b937e5bfd69ce28eef1cc0d096",
    "linked": "761d3a0814701779ad3ea857b5efe9870e8357a81f664f060973ae4d6e278a32",
    "setting": "6e49bc05e3fea3c50257a532144ba3c10f3c3af78185e13fd7ca6cee3fda723f",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_keys_of_fits_do_not_change_between_versions(name):
    assert FITS[name]() == GOLDEN[name]


def test_the_keys_of_fits_do_not_depend_on_the_process_nor_on_what_it_did_before():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_identity as t, classy_pm as cpm\n"
        "for _ in range(int(sys.argv[2])): cpm.Collection(a=cpm.UniformPrior(0.0, 1.0)); t.make_model()\n"
        "print([t.FITS[name]() for name in t.GOLDEN])"
    )
    here = os.path.dirname(__file__)  # noqa: PTH120
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, here, seed],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"{list(GOLDEN.values())}\n"


def test_data_are_told_apart_whatever_their_attributes_are_called():
    class Referenced(cpm.Analysis):
        def __init__(self, references):
            self.references = references

        def log_likelihood_function(self, instance):
            return 0.0

    def observed(references):
        plan = make_plan(make_model())
        return Identity.of(cpm.Emcee(), plan, Referenced(references)).hashes["observed"]

    assert observed([1.0]) == observed([1.0]) != observed([2.0])
