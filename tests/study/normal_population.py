"""Objects whose exact posterior for the parent is known: measured with normal errors, drawn from a normal."""

import numpy as np

import classy_pm as cpm
from classy_pm.study.parents import read_parent
from classy_pm.study.posteriors import Posterior

# The hyperparameters' uniform priors.
MEAN, SIGMA = (-5.0, 7.0), (0.001, 3.0)


def make_parent(path="source.flux"):
    return read_parent(path, parent_prior())


def parent_prior():
    return cpm.GaussianPrior(cpm.UniformPrior(*MEAN), cpm.UniformPrior(*SIGMA))


def measured(number, sigma, error, seed):
    """Measured values of objects that are drawn around one."""
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, sigma, number) + rng.normal(0.0, error, number)


def posterior_under(prior_mean, prior_sd, value, error):
    """The mean and the standard deviation of an object's posterior under a normal prior."""
    precision = error**-2 + prior_sd**-2
    return (value * error**-2 + prior_mean * prior_sd**-2) / precision, precision**-0.5


def drawn(values, error, draws, seed, prior=(0.0, 20.0), places=None):
    """The objects' posteriors under a normal prior; those at some places alone, or of all."""
    rng = np.random.default_rng(seed)
    found = []
    for place, value in enumerate(values):
        mean, sd = posterior_under(*prior, value, error)
        x = rng.normal(mean, sd, (1, draws))
        log_prior = -0.5 * ((x[0] - prior[0]) / prior[1]) ** 2 - np.log(prior[1] * np.sqrt(2.0 * np.pi))
        if places is None or place in places:
            found.append(Posterior(f"object_{place}", x, -np.log(draws) - log_prior))
    return found


class Grid:
    """The posterior of the parent on a grid, from a log likelihood of vectors of mean and sigma."""

    def __init__(self, log_likelihood, values, width=3.0, size=(31, 61), sigma_to=1.2):
        centre, half = np.mean(values), width * np.std(values) / np.sqrt(len(values))
        mean = np.linspace(centre - half, centre + half, size[0])
        sigma = np.linspace(SIGMA[0], sigma_to, size[1])
        self.vectors = np.stack(np.meshgrid(mean, sigma, indexing="ij"), axis=-1).reshape(-1, 2)
        log = np.array([log_likelihood(vector) for vector in self.vectors])
        self.weights = np.exp(log - np.max(log)) / np.sum(np.exp(log - np.max(log)))
        self.mean = self.weights @ self.vectors
        self.sd = np.sqrt(self.weights @ (self.vectors - self.mean) ** 2)

    def draws(self, number=400, seed=0):
        places = np.random.default_rng(seed).choice(len(self.weights), number, p=self.weights)
        return self.vectors[places]


def exact(values, error):
    """The log likelihood of the parent without any draws."""

    def log_likelihood(vector):
        variance = error**2 + vector[1] ** 2
        return float(np.sum(-0.5 * (values - vector[0]) ** 2 / variance - 0.5 * np.log(variance)))

    return log_likelihood


def of(analysis):
    """The log likelihood of a population at vectors of hyperparameters."""
    model = analysis.parent.model
    return lambda vector: float(analysis.log_likelihood_function(model.instance_from_vector(vector)))
