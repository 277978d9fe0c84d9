"""A line in a spectrum, searches that take a few hundredths of a second, and data that make trouble."""

import os
import signal
import time
from pathlib import Path

import numpy as np

import classy_pm as cpm

X = np.arange(30.0)


class Line:
    def __init__(self, centre=0.0, flux=1.0, width=1.0):
        self.centre, self.flux, self.width = centre, flux, width

    def spectrum(self, x):
        return self.flux * np.exp(-0.5 * ((x - self.centre) / self.width) ** 2)


def spectrum(instance):
    """The sum of all lines of an instance, which is one or holds some."""
    lines = instance if hasattr(instance, "__iter__") else [instance]
    return sum(line.spectrum(X) for line in lines)


class Spectrum(cpm.Analysis):
    """Data of lines, summed over the parts of a collection."""

    def __init__(self, data, noise=0.1):
        self.data, self.noise = data, noise

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(((self.data - spectrum(instance)) / self.noise) ** 2)


class Deadly(Spectrum):
    """Ends the process that computes it, however often."""

    def log_likelihood_function(self, instance):
        os.kill(os.getpid(), signal.SIGKILL)


class Poisonous(Spectrum):
    def log_likelihood_function(self, instance):
        raise ZeroDivisionError("this data set is poisonous")


class Unsent:
    """Cannot be pickled."""

    def __identity__(self):
        return "unsent"

    def __reduce__(self):
        raise TypeError("this is not to be sent")


class Noted(Spectrum):
    """Writes a line for each fit that is run, and takes its time."""

    def __init__(self, data, path, pause=0.0, noise=0.1):
        super().__init__(data, noise)
        self.path, self.pause = str(path), pause

    def save_attributes(self, paths):
        with Path(self.path).open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        paths.save("process", os.getpid())
        time.sleep(self.pause)


def line(**fixed):
    model = cpm.Model(Line)
    model.centre = cpm.UniformPrior(0.0, 30.0)
    model.flux = cpm.LogUniformPrior(0.1, 10.0)
    model.width = cpm.UniformPrior(0.5, 5.0)
    for name, value in fixed.items():
        setattr(model, name, value)
    return model


def data_of(*lines, seed=0, noise=0.1):
    return np.random.default_rng(seed).normal(sum(item.spectrum(X) for item in lines), noise)


def quick(**settings):
    """A search without a graph or machine code."""
    return cpm.Emcee(**{"nwalkers": 8, "nsteps": 60, "random_seed": 1, **settings})
