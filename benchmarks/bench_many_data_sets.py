"""What the fits of one model to many data sets cost beside their sampling."""

import time

import numpy as np

import classy_pm as cpm
from classy_pm.plan import make_plan
from classy_pm.search.identity import Identity
from classy_pm.search.progress import Report
from classy_pm.search.reuse import Reuse, varying_among

DATA_SETS = 20
# All of a fit beside its sampling, as a share of that.
GOAL = 0.5
SAMPLING = "sampling 4 chains with NUTS"


class Gaussian:
    def __init__(self, centre=0.0, intensity=1.0, sigma=1.0):
        self.centre, self.intensity, self.sigma = centre, intensity, sigma

    def profile(self, x):
        scaled = (x - self.centre) / self.sigma
        return self.intensity / (self.sigma * np.sqrt(2.0 * np.pi)) * np.exp(-0.5 * scaled**2)


class Analysis(cpm.Analysis):
    def __init__(self, data, noise):
        self.data, self.noise = data, noise

    def log_likelihood_function(self, instance):
        x = np.arange(self.data.shape[0])
        return -0.5 * np.sum(((self.data - instance.profile(x)) / self.noise) ** 2)


def model():
    return cpm.Model(
        Gaussian,
        centre=cpm.UniformPrior(0.0, 100.0),
        intensity=cpm.LogUniformPrior(1e-2, 1e2),
        sigma=cpm.UniformPrior(0.5, 30.0),
    )


def data_sets(number):
    rng = np.random.default_rng(1)
    for _ in range(number):
        line = Gaussian(rng.uniform(30.0, 70.0), rng.uniform(15.0, 30.0), rng.uniform(5.0, 12.0))
        data = line.profile(np.arange(100)) + rng.normal(0.0, 0.05, 100)
        yield Analysis(data, np.full(100, 0.05))


def fit(search, analysis, reuse):
    """Fit a data set, and return the seconds of all and of the sampling."""
    start = time.perf_counter()
    plan, report = make_plan(model()), Report(False)
    search._fit(plan, analysis, Identity.of(search, plan, analysis), report, reuse=reuse)
    return time.perf_counter() - start, report.seconds[SAMPLING]


def test_fits_that_reuse_what_is_compiled(benchmark):
    benchmark.group = "one model, many data sets"
    search = cpm.NUTS(random_seed=1, progress=False)
    first, *others = data_sets(DATA_SETS + 1)
    reuse = Reuse(varying_among(others))
    compiling, _ = fit(search, first, reuse)
    took = benchmark.pedantic(lambda: [fit(search, item, reuse) for item in others], rounds=1)
    whole, sampling = np.sum(took, axis=0)
    beside = whole / sampling - 1.0
    benchmark.extra_info |= {"first": compiling, "fit": whole / DATA_SETS, "beside sampling": beside}
    print(f"\nfirst {compiling:.2f} s, then {whole / DATA_SETS:.3f} s each; {beside:.2f} beside the sampling")
    assert (reuse.made, reuse.used, reuse.ordinary) == (1, DATA_SETS, 0)
    assert beside < GOAL
