"""Run by `bench_small_fit.py`: fit the talk's Gaussian, and say what that took."""

import json
import sys
import time

import arviz_base  # noqa: F401 - to import them is not fitting
import arviz_stats  # noqa: F401
import numpy as np
import nutpie  # noqa: F401
import pymc as pm  # noqa: F401

import classy_pm as cpm
from classy_pm.demo import Gaussian


class Analysis(cpm.Analysis):
    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, instance):
        residuals = self.data - instance.profile_from_xvalues(np.arange(self.data.size))
        return -0.5 * np.sum((residuals / 0.05) ** 2)


model = cpm.Model(
    Gaussian,
    centre=cpm.UniformPrior(0.0, 100.0),
    intensity=cpm.LogUniformPrior(1e-2, 1e2),
    sigma=cpm.GaussianPrior(10.0, 5.0, lower_limit=0.0),
)
clean = Gaussian(50.0, 25.0, 10.0).profile_from_xvalues(np.arange(100))
analysis = Analysis(clean + np.random.default_rng(1).normal(0.0, 0.05, 100))
search = cpm.NUTS(draws=500, tune=300, chains=4, random_seed=1)
clock = time.process_time  # what an idle machine would take; here other processes may run too
start = clock()
result = search.fit(model, analysis)
seconds = clock() - start
found = {
    "seconds": seconds,
    "ess": float(result.summary()["ess"].min()),
    "stages": result.attributes["seconds"],
    "means": [mean.hex() for mean in result.summary()["mean"].tolist()],
}
json.dump(found, sys.stdout)
