"""Shared classes and the fits that several tests look at: compiling is the cost, so it is paid once."""

import gc
import importlib
import os
from pathlib import Path

import loky
import matplotlib
import numpy as np
import pytest
import scipy.optimize
import shared_processes

import classy_pm as cpm

matplotlib.use("Agg")

# Where there is a C compiler PyTensor folds constants by it: one second and more for each kind of operation
# that is new to the machine. No machine code of ours comes from it. Processes that tests start inherit this.
# And nobody asks on which line of ours a node of a graph was made.
FLAGS = "cxx=,traceback__limit=0"
os.environ["PYTENSOR_FLAGS"] = ",".join([*filter(None, [os.environ.get("PYTENSOR_FLAGS")]), FLAGS])

# After a trace all objects are asked what they refer to: not these, which are more than those of a test.
for library in ("arviz", "matplotlib.pyplot", "pymc"):
    importlib.import_module(library)
gc.freeze()


class Gaussian:
    def __init__(self, centre=0.0, intensity=0.1, sigma=0.01):
        self.centre, self.intensity, self.sigma = centre, intensity, sigma

    def profile_from_xvalues(self, xvalues):
        z = (xvalues - self.centre) / self.sigma
        return self.intensity / (self.sigma * np.sqrt(2.0 * np.pi)) * np.exp(-0.5 * z**2)


class GaussianAnalysis(cpm.Analysis):
    def __init__(self, data, noise_map):
        self.data, self.noise_map = data, noise_map

    def log_likelihood_function(self, instance):
        residual_map = self.data - instance.profile_from_xvalues(np.arange(self.data.size))
        return -0.5 * sum((residual_map / self.noise_map) ** 2.0)


class OpaqueAnalysis(GaussianAnalysis):
    """Goes where no trace can follow: its steps towards the peak depend on the parameters."""

    def log_likelihood_function(self, instance):
        peak = scipy.optimize.minimize_scalar(
            lambda x: -instance.profile_from_xvalues(x), bounds=(0.0, 100.0), method="bounded"
        )
        return -0.5 * ((peak.x - np.argmax(self.data)) / 2.0) ** 2 - 0.5 * (instance.sigma - 10.0) ** 2


@pytest.fixture
def gaussian_model():
    model = cpm.Model(Gaussian)
    model.centre = cpm.UniformPrior(lower_limit=0.0, upper_limit=100.0)
    model.intensity = cpm.LogUniformPrior(lower_limit=1e-2, upper_limit=1e2)
    model.sigma = cpm.GaussianPrior(mean=10.0, sigma=5.0, lower_limit=0.0)
    return model


@pytest.fixture
def gaussian_analysis():
    noise = np.random.default_rng(1).normal(0.0, 0.05, 100)
    data = Gaussian(50.0, 25.0, 10.0).profile_from_xvalues(np.arange(100)) + noise
    return GaussianAnalysis(data, np.full(100, 0.05))


@pytest.fixture
def opaque_analysis(gaussian_analysis):
    return OpaqueAnalysis(gaussian_analysis.data, gaussian_analysis.noise_map)


@pytest.fixture(scope="session")
def demo_fit(tmp_path_factory):
    """The demo, run once: its folder and its result."""
    from classy_pm.demo import run_demo

    folder: Path = tmp_path_factory.mktemp("demo")
    return folder, run_demo(folder, progress=False)


@pytest.fixture(scope="session")
def _processes():
    shared_processes.start()
    yield
    shared_processes.end()


@pytest.fixture
def processes(_processes, monkeypatch):
    """Have what wants processes use those that the tests share."""
    monkeypatch.setattr(loky, "ProcessPoolExecutor", shared_processes.SharedPool)


@pytest.fixture(scope="session")
def _cluster():
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    # A task whose worker has died is given to no other worker: four of them would have to be started.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def client(_cluster):
    from distributed import Client

    with Client(_cluster) as client:
        yield client
