"""Effective sample sizes and R-hat are ArviZ's, number by number."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from classy_pm.result.quality import effective_sizes, r_hat


def make_draws(chains, draws, numbers=30):
    """Chains with autocorrelations of both signs, and all kinds of odd ones."""
    rng = np.random.default_rng(1)
    made = rng.normal(size=(numbers, chains, draws))
    shares = rng.uniform(-0.9, 0.99, (numbers, 1))
    for step in range(1, draws):
        made[:, :, step] += shares * made[:, :, step - 1]
    made[0] = 3.0
    made[1, 0, 1] = np.nan
    made[2, 0, 1] = np.inf
    made[3] = np.round(made[3])
    made[4] = np.exp(50.0 * made[4])
    made[5, 0] = 1.0
    made[6] = made[6, :, :1]
    made[7] += 10.0 * np.arange(chains)[:, np.newaxis]
    made[8, :, :2] = -np.inf
    made[9] *= 1e-200
    return made


@pytest.mark.parametrize(
    ("chains", "draws"), [(1, 3), (1, 10), (2, 4), (2, 5), (3, 6), (2, 7), (8, 9), (2, 50), (4, 101)]
)
def test_many_numbers_have_the_statistics_that_arviz_gives_each(chains, draws):
    made = make_draws(chains, draws)
    with np.errstate(all="ignore"):
        sizes = [
            min(array_stats.ess(each, method="bulk"), array_stats.ess(each, method="tail", prob=0.89))
            for each in made
        ]
        of_chains = [array_stats.rhat(each) for each in made]
    np.testing.assert_allclose(effective_sizes(made), sizes, rtol=1e-9)
    np.testing.assert_allclose(r_hat(made), of_chains, rtol=1e-9)
