"""Run by `bench_graphs.py`: read, trace, prove and compile a hierarchy of data sets of so many lengths."""

import importlib
import json
import sys
import time

import numpy as np

import classy_pm as cpm


class Gaussian:
    def __init__(self, centre, intensity, sigma):
        self.centre, self.intensity, self.sigma = centre, intensity, sigma

    def at(self, x):
        return self.intensity * np.exp(-0.5 * ((x - self.centre) / self.sigma) ** 2)


class Spectrum(cpm.Analysis):
    def __init__(self, data, noise):
        self.data, self.noise = data, noise

    def log_likelihood_function(self, instance):
        residuals = (self.data - instance.gaussian.at(np.arange(self.data.size))) / self.noise
        return -0.5 * np.sum(residuals**2)


class SpectrumInJax(Spectrum):
    def log_likelihood_function(self, instance):
        import jax.numpy as jnp

        line, x = instance.gaussian, jnp.arange(self.data.size)
        model = line.intensity * jnp.exp(-0.5 * ((x - line.centre) / line.sigma) ** 2)
        return -0.5 * jnp.sum(((self.data - model) / self.noise) ** 2)


def make_graph(count, noise=1.0, lengths=1, kind=Spectrum):
    """A population of lines whose centres are drawn from a parent."""
    rng = np.random.default_rng(1)
    mean, scatter = cpm.GaussianPrior(50.0, 20.0), cpm.HalfGaussianPrior(10.0)
    factors = []
    for number, truth in enumerate(rng.normal(50.0, 10.0, count)):
        size = 100 + number % lengths
        gaussian = cpm.Model(
            Gaussian,
            centre=cpm.GaussianPrior(mean, scatter),
            intensity=cpm.LogUniformPrior(0.01, 100.0),
            sigma=cpm.GaussianPrior(5.0, 3.0, lower_limit=0.5),
        )
        data = Gaussian(truth, 10.0, 5.0).at(np.arange(size)) + rng.normal(0.0, noise, size)
        analysis = kind(data, np.full(size, noise))
        factors.append(cpm.AnalysisFactor(cpm.Collection(gaussian=gaussian), analysis))
    return cpm.FactorGraphModel(*factors)


def main(count, lengths=1, likelihood="auto"):
    import nutpie  # noqa: F401 - to import it is not compiling

    from classy_pm.likelihood.joint import analysis_of
    from classy_pm.plan import make_plan
    from classy_pm.search.nutpie_chains import compile_model
    from classy_pm.search.problem import Problem
    from classy_pm.search.progress import Report

    if likelihood == "jax":
        importlib.import_module("pytensor.link.jax.dispatch")  # nor is this
    graph = make_graph(count, lengths=lengths, kind=SpectrumInJax if likelihood == "jax" else Spectrum)
    seconds = {}

    def stage(name, function):
        start = time.process_time()
        made = function()
        seconds[name] = time.process_time() - start
        return made

    plan = stage("plan", lambda: make_plan(graph))
    problem = Problem(plan, analysis_of(graph, None, ""), likelihood, 1, 1, Report(False))
    stage("trace and proof", lambda: problem.symbolic)
    stage("PyMC model", lambda: problem.pymc_model)
    compiled = stage("compile", lambda: compile_model(problem))
    stage("first call", lambda: compiled.logp_func(np.zeros(plan.size)))  # for which JAX compiles
    start = time.process_time()
    for _ in range(20):
        compiled.logp_func(np.zeros(plan.size))
    seconds["gradient"] = (time.process_time() - start) / 20
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
