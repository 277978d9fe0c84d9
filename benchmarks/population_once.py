"""Weigh the draws of objects that are streamed from a file, and print what it took.

    python population_once.py OBJECTS DRAWS

No fit is filed: the draws are made one object after the other, as those of a catalogue are read.
"""

import json
import resource
import sys
import time

import numpy as np

import classy_pm as cpm
from classy_pm.study.batches import Batches
from classy_pm.study.parents import read_parent
from classy_pm.study.posteriors import Posterior
from classy_pm.study.trust import examine
from classy_pm.study.weighing import PopulationAnalysis

# Draws of the hyperparameters at which it is examined how far the draws determine the answer.
EXAMINED = 20
REPEATS = 5


def posteriors(number, draws):
    rng = np.random.default_rng(1)
    for place in range(number):
        value = rng.normal(1.0, np.hypot(1.0, 0.3))
        yield Posterior(f"object_{place}", rng.normal(value, 0.3, (1, draws)), np.full(draws, -np.log(draws)))


def main(number, draws):
    parent = read_parent(
        "source.flux", cpm.GaussianPrior(cpm.UniformPrior(-5.0, 5.0), cpm.UniformPrior(0.1, 3.0))
    )
    begin = time.process_time()
    batches = Batches.of(posteriors(number, draws), 1, memory_limit=0)
    took = {"reading": time.process_time() - begin}
    analysis = PopulationAnalysis(parent, batches)
    instance = parent.model.instance_from_vector([1.0, 1.0])
    analysis.log_likelihood_gradient(instance)  # compiles
    begin = time.process_time()
    for place in range(REPEATS):
        analysis.log_likelihood_gradient(parent.model.instance_from_vector([1.0, 1.0 + 1e-6 * (1 + place)]))
    took["a gradient"] = (time.process_time() - begin) / REPEATS
    begin = time.process_time()
    scatter = 1.0 / np.sqrt(number)
    told = examine(analysis, np.random.default_rng(2).normal(1.0, scatter, (EXAMINED, 2)))
    took["examining"] = time.process_time() - begin
    assert told.groups["population"].sizes["object"] == number
    took["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    print(json.dumps(took))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
