"""A posterior that is known: normal in x, within a wide uniform prior; y has its prior alone."""

import numpy as np

import classy_pm as cpm

MEAN, SD = 3.0, 0.5
LOG_EVIDENCE = np.log(SD * np.sqrt(2.0 * np.pi) / 100.0)


class Point:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


class Normal(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return -0.5 * ((instance.x - MEAN) / SD) ** 2


def normal_model():
    return cpm.Model(Point, x=cpm.UniformPrior(-50.0, 50.0), y=cpm.GaussianPrior(1.0, 2.0))
