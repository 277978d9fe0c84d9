"""What studies cost beside the fits that they are made of."""

import time

import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt
import pytest

import classy_pm as cpm
from classy_pm.model.edit import with_priors
from classy_pm.search.job import Job
from classy_pm.search.progress import Report
from classy_pm.search.reuse import Reuse, varying_among
from classy_pm.study.grid import Grid

FEW, MANY = 20, 200
# All of many data sets, over their sampling; and seconds of a cell beside its fit.
GOAL, CELL = 1.5, 0.05
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


class Lines(Analysis):
    def log_likelihood_function(self, instance):
        x = np.arange(self.data.shape[0])
        return -0.5 * np.sum(((self.data - sum(line.profile(x) for line in instance)) / self.noise) ** 2)


def line(lower=0.0, upper=100.0):
    return cpm.Model(
        Gaussian,
        centre=cpm.UniformPrior(lower, upper),
        intensity=cpm.LogUniformPrior(1e-2, 1e2),
        sigma=cpm.UniformPrior(0.5, 30.0),
    )


def one_line(number):
    """A model of three parameters, and data sets of 100 numbers."""
    return line(), [Analysis(*spectrum(rng, [(30.0, 70.0)])) for rng in generators(number)]


def two_lines(number):
    """The same of six parameters."""
    places = [(15.0, 35.0), (65.0, 85.0)]
    model = cpm.Collection(left=line(upper=50.0), right=line(lower=50.0))
    return model, [Lines(*spectrum(rng, places)) for rng in generators(number)]


def generators(number):
    return map(np.random.default_rng, range(number))


def spectrum(rng, places):
    lines = [
        Gaussian(rng.uniform(*place), rng.uniform(15.0, 30.0), rng.uniform(5.0, 12.0)) for place in places
    ]
    data = sum(item.profile(np.arange(100)) for item in lines) + rng.normal(0.0, 0.05, 100)
    return data, np.full(100, 0.05)


def fit(search, model, analysis, reuse):
    """Fit a data set, and return the seconds of all and of the sampling."""
    start = time.perf_counter()
    report = Report(False)
    Job.of(search, model, analysis).run(report, None, reuse)
    return time.perf_counter() - start, report.seconds[SAMPLING]


def test_fits_that_reuse_what_is_compiled(benchmark):
    benchmark.group = "one model, many data sets"
    search = cpm.NUTS(random_seed=1, progress=False)
    model, (first, *others) = one_line(FEW + 1)
    reuse = Reuse(varying_among(others))
    compiling, _ = fit(search, model, first, reuse)
    took = benchmark.pedantic(lambda: [fit(search, model, item, reuse) for item in others], rounds=1)
    whole, sampling = np.sum(took, axis=0) / FEW
    benchmark.extra_info |= {"first": compiling, "fit": whole, "beside sampling": whole - sampling}
    print(f"\nfirst {compiling:.2f} s, then {whole:.3f} s each, {sampling:.3f} s of it sampling")
    assert (reuse.made, reuse.used, reuse.ordinary) == (1, FEW, 0)


def by_hand(made):
    """The same models as a user of PyMC writes them, with data that can be exchanged."""
    x = np.arange(100.0)
    ranges = {"": (0.0, 100.0)} if made is one_line else {"left.": (0.0, 50.0), "right.": (50.0, 100.0)}
    with pm.Model() as model:
        data, total = pm.Data("data", np.zeros(100)), 0.0
        for part, (lower, upper) in ranges.items():
            centre = pm.Uniform(f"{part}centre", lower, upper, initval=(lower + upper) / 2)
            log_intensity = pm.Uniform(f"{part}log_intensity", np.log(1e-2), np.log(1e2), initval=3.0)
            sigma = pm.Uniform(f"{part}sigma", 0.5, 30.0, initval=8.0)
            height = pt.exp(log_intensity) / (sigma * np.sqrt(2.0 * np.pi))
            total += height * pt.exp(-0.5 * ((x - centre) / sigma) ** 2)
        pm.Potential("log_likelihood", -0.5 * pt.sum(((data - total) / 0.05) ** 2))
    return nutpie.compile_pymc_model(model, jitter_rvs=set())


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("made", [one_line, two_lines])
def test_many_data_sets_over_their_sampling(made, cores, benchmark, tmp_path):
    """All of them, filed, less the first, which is compiled, over what a user of nutpie takes to sample them.

    That is `nutpie.sample` of a hand-written model that is compiled already. The stage of our own fits that
    samples is told as well: it does without the copy that nutpie makes of its draws.
    """
    benchmark.group = "one model, many data sets"
    search = cpm.NUTS(random_seed=1, progress=False)
    model, data = made(MANY + 1)
    where = {"catalog": tmp_path / "fits.sqlite", "number_of_cores": cores, "progress": False}
    bare, compiled = [], by_hand(made)
    for item in data[1:21]:
        start = time.perf_counter()
        draws = nutpie.sample(
            compiled.with_data(data=item.data),
            draws=1000,
            tune=1000,
            chains=4,
            cores=cores,
            seed=1,
            progress_bar=False,
        )
        bare.append(time.perf_counter() - start)
    reuse = Reuse(varying_among(data[:10]))
    fit(search, model, data[0], reuse)
    stage = np.median([fit(search, model, item, reuse)[1] for item in data[1:21]])
    start = time.perf_counter()
    cpm.fit_many(model, data[:cores], search, **where)
    compiling = time.perf_counter() - start
    start = time.perf_counter()
    fits = benchmark.pedantic(lambda: cpm.fit_many(model, data[:MANY], search, **where), rounds=1)
    took = time.perf_counter() - start
    assert len(fits) == MANY
    name = "centre" if made is one_line else "left.centre"
    ours = fits["data_set_20"].summary().loc[name]
    assert abs(ours["mean"] - float(draws.posterior[name].mean())) < 0.2 * ours["sd"]
    share = (took - compiling) / (MANY * np.median(bare))
    of_stage = (took - compiling) / (MANY * stage)
    benchmark.extra_info |= {"bare": np.median(bare), "stage": stage, "share": share, "compiling": compiling}
    print(
        f"\n{MANY} data sets in {took:.1f} s, {cores} processes, and {compiling:.1f} s for the first: "
        f"{share:.2f} times nutpie.sample, {np.median(bare):.3f} s each, "
        f"{of_stage:.2f} times the stage, {stage:.3f} s each"
    )
    assert share < GOAL


def test_cells_over_bare_fits(benchmark, tmp_path):
    """What a cell of a grid costs beside its fit, in seconds of the processor."""
    benchmark.group = "cells of a study"
    search = cpm.Emcee(nwalkers=8, nsteps=100, random_seed=1, progress=False)
    model, (analysis,) = one_line(1)
    grid = Grid.over(model, ["centre", "sigma"], (8, 5))
    models = [with_priors(model, grid.priors(cell)) for cell in grid]
    study = cpm.SearchGridSearch(search, (8, 5))

    def bare(place):
        with cpm.Catalog(place) as store:
            return [search.fit(item, analysis, catalog=store) for item in models]

    def of_study(place):
        return study.fit(model, analysis, ["centre", "sigma"], catalog=place)

    def seconds(call, name):
        start = time.process_time()
        call(tmp_path / name)
        return time.process_time() - start

    bare(tmp_path / "warm.sqlite")
    alone = min(seconds(bare, f"bare_{turn}.sqlite") for turn in range(3))
    together = benchmark.pedantic(
        lambda: min(seconds(of_study, f"study_{turn}.sqlite") for turn in range(3)), rounds=1
    )
    more = (together - alone) / grid.size
    benchmark.extra_info |= {"bare fit": alone / grid.size, "more": more}
    print(f"\na cell: {1e3 * more:.1f} ms beside its fit of {1e3 * alone / grid.size:.1f} ms")
    assert more < CELL
