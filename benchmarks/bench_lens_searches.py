"""Effective draws a second of the processor, on the lens of 17 parameters: NUTS here beside bare libraries.

The goal is 15 times either. NUTS pays for all that it does: tracing, proof, compiling, finding the mode.
emcee starts at the mode, so it pays for no burn-in; dynesty starts from the prior. Run it with

    make bench ARGS="benchmarks/bench_lens_searches.py -s"
"""

import time

import dynesty
import emcee
import numpy as np
from lens import make_lens

import classy_pm as cpm
from classy_pm.likelihood import LogLikelihood
from classy_pm.plan import make_plan

GOAL = 15.0
STEPS, WALKERS = 3000, 50
NLIVE = 50


def nuts(model, analysis):
    """Return the smallest effective sample size of a parameter, of bulk and tail."""
    result = cpm.NUTS(draws=1000, tune=500, chains=4, random_seed=1, progress=False).fit(model, analysis)
    assert not any("modes" in notice for notice in result.notices)
    return float(result.summary()["ess"].min())


def bare_emcee(plan, log_likelihood):
    """Return draws over the longest autocorrelation time; the prior costs next to nothing here."""
    truth = np.array(cpm.MAP(random_seed=1).fit(*make_lens()).samples.vectors[0])

    def log_density(vector):
        log_prior = plan.log_prior(vector)
        return log_prior + log_likelihood(vector) if log_prior > -np.inf else -np.inf

    rng = np.random.default_rng(1)
    start = truth + 1e-3 * rng.standard_normal((WALKERS, plan.size))
    sampler = emcee.EnsembleSampler(WALKERS, plan.size, log_density)
    begin = time.process_time()
    sampler.run_mcmc(start, STEPS, skip_initial_state_check=True)
    return STEPS * WALKERS / sampler.get_autocorr_time(tol=0).max(), time.process_time() - begin


def bare_dynesty(plan, log_likelihood):
    """Return the effective size of the weighted draws."""
    sampler = dynesty.NestedSampler(
        log_likelihood, plan.vector_from_unit, plan.size, nlive=NLIVE, rstate=np.random.default_rng(1)
    )
    begin = time.process_time()
    sampler.run_nested(print_progress=False)
    weights = sampler.results.importance_weights()
    return 1.0 / np.sum(weights**2), time.process_time() - begin


def test_ratio_of_effective_draws():
    model, analysis = make_lens()
    plan = make_plan(model)
    log_likelihood = LogLikelihood(plan, analysis)
    begin = time.process_time()
    effective = nuts(model, analysis)
    found = {
        "NUTS": (effective, time.process_time() - begin),
        "emcee": bare_emcee(plan, log_likelihood),
        "dynesty": bare_dynesty(plan, log_likelihood),
    }
    rate = {name: draws / seconds for name, (draws, seconds) in found.items()}
    for name, (draws, seconds) in found.items():
        ratio = rate["NUTS"] / rate[name]
        print(f"{name:8} {draws:6.0f} draws in {seconds:5.1f} s: {rate[name]:7.2f}/s, {ratio:.1f} times")
    assert rate["NUTS"] > GOAL * max(rate["emcee"], rate["dynesty"])
