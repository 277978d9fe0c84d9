"""The exact posterior of a regression with normal noise, flat priors, and 1 / sd for that of the noise."""

from typing import NamedTuple

import numpy as np
import scipy.stats
from sklearn.mixture import GaussianMixture

SIZE, ENOUGH, ROUNDS, COMPONENTS, DEGREES = 40_000, 15_000, 8, 12, 5


class Moments(NamedTuple):
    """Means and standard deviations of parameters, with their Monte Carlo errors."""

    mean: np.ndarray
    mean_error: np.ndarray
    sd: np.ndarray
    sd_error: np.ndarray


def exact(kind):
    """Return the moments of the posterior, by importance sampling of the parameters that are not linear.

    The linear ones and the noise are integrated out: they are Student's t around their least squares,
    A. Gelman et al., Bayesian Data Analysis (2013), section 14.2. The proposal is a mixture of Student's t
    that is fitted to the posterior some times over, O. Cappe et al., Stat. Comput. 18, 447 (2008).
    """
    names = list(kind.certified)
    curved = [place for place, name in enumerate(names) if name not in kind.linear]
    straight = [place for place, name in enumerate(names) if name in kind.linear]
    centre, scale = np.array([kind.certified[names[place]] for place in curved]).T
    low, high = (np.array([kind.box()[names[place]] for place in curved]).T - centre) / scale
    rng = np.random.default_rng(1)
    points = 1.5 * rng.standard_t(4, (SIZE, len(curved)))
    log_proposal = np.sum(scipy.stats.t.logpdf(points / 1.5, 4), axis=1)
    for _ in range(ROUNDS):
        inside = np.all((points > low) & (points < high), axis=1)
        points, log_proposal = points[inside], log_proposal[inside]
        log_density, mean, variance = _marginal(kind, names, curved, straight, centre + scale * points)
        log_weights = log_density - log_proposal
        weights = _normal(log_weights)
        if 1.0 / np.sum(weights**2) > ENOUGH:
            break
        points, log_proposal = _proposed(points, _tempered(log_weights), rng)
    else:
        raise AssertionError("The proposal is not like the posterior.")
    means, variances = np.zeros((len(points), len(names))), np.zeros((len(points), len(names)))
    means[:, curved] = centre + scale * points
    means[:, straight], variances[:, straight] = mean, variance
    return _moments(means, variances, weights)


def _marginal(kind, names, curved, straight, values):
    """Return the log density of points, and means and variances of the linear parameters at them."""
    number, count = kind.y.size, len(straight)
    given = {names[place]: values[:, [k]] for k, place in enumerate(curved)}
    if not count:
        squares = np.sum((kind.y - kind(**given).at(kind.x)) ** 2, axis=1)
        return -0.5 * number * np.log(squares), np.empty((len(values), 0)), np.empty((len(values), 0))
    columns = [kind(**given, **{names[place]: 1.0}).at(kind.x) for place in straight]
    orthogonal, triangular = np.linalg.qr(np.stack(columns, axis=-1))
    along = np.einsum("pnk,n->pk", orthogonal, kind.y)
    squares = np.sum((kind.y - np.einsum("pnk,pk->pn", orthogonal, along)) ** 2, axis=1)
    inverse = np.linalg.inv(triangular)
    log_volume = np.sum(np.log(np.abs(np.diagonal(triangular, axis1=1, axis2=2))), axis=1)
    variance = np.sum(inverse**2, axis=2) * (squares / (number - count - 2))[:, None]
    mean = np.einsum("pij,pj->pi", inverse, along)
    return -log_volume - 0.5 * (number - count) * np.log(squares), mean, variance


def _normal(log_weights):
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


def _tempered(log_weights):
    """Return weights that are less uneven, if few of them count."""
    power, weights = 1.0, _normal(log_weights)
    while 1.0 / np.sum(weights**2) < SIZE / 20:
        power *= 0.8
        weights = _normal(power * log_weights)
    return weights


def _proposed(points, weights, rng):
    """Draw from a mixture that is like weighted points; return the draws and its log density at them."""
    chosen = points[rng.choice(len(points), 8000, p=weights)]
    shift, root = chosen.mean(axis=0), np.linalg.cholesky(np.atleast_2d(np.cov(chosen.T)))
    white = np.linalg.solve(root, (chosen - shift).T).T
    mixture = GaussianMixture(COMPONENTS, random_state=0, reg_covar=1e-4).fit(white)
    parts = rng.choice(COMPONENTS, SIZE, p=mixture.weights_)
    roots = 1.1 * np.linalg.cholesky(mixture.covariances_)
    drawn = rng.normal(size=(SIZE, points.shape[1])) / np.sqrt(rng.chisquare(DEGREES, (SIZE, 1)) / DEGREES)
    drawn = mixture.means_[parts] + np.einsum("pij,pj->pi", roots[parts], drawn)
    each = [
        np.log(weight) + scipy.stats.multivariate_t(mean, part @ part.T, DEGREES).logpdf(drawn)
        for weight, mean, part in zip(mixture.weights_, mixture.means_, roots, strict=True)
    ]
    return shift + drawn @ root.T, np.logaddexp.reduce(each, axis=0)


def _moments(means, variances, weights):
    """Return the moments of draws that are distributions themselves."""
    mean = weights @ means
    squares = (means - mean) ** 2 + variances
    sd = np.sqrt(weights @ squares)
    mean_error = np.sqrt(weights**2 @ (means - mean) ** 2)
    return Moments(mean, mean_error, sd, np.sqrt(weights**2 @ (squares - sd**2) ** 2) / (2.0 * sd))
