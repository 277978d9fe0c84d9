"""Models: how long the inner loop of a black-box fit and the composing of large models take."""

import numpy as np
import pytest

import classy_pm as cpm


class Gaussian:
    def __init__(self, centre=0.0, intensity=0.1, sigma=0.01):
        self.centre, self.intensity, self.sigma = centre, intensity, sigma


class Light:
    def __init__(self, centre: tuple[float, float] = (0.0, 0.0), axis_ratio=1.0, angle=0.0, radius=1.0):
        self.centre, self.axis_ratio, self.angle, self.radius = centre, axis_ratio, angle, radius


MODELS = {3: lambda: cpm.Model(Gaussian), 200: lambda: cpm.Collection([cpm.Model(Light) for _ in range(40)])}


@pytest.mark.parametrize("size", MODELS)
def test_vector_to_instance(benchmark, size):
    """Goal: 5 microseconds for 3 parameters, 150 for 200."""
    model = MODELS[size]()
    vector = np.linspace(0.1, 0.9, size)
    benchmark(model.instance_from_vector, vector)


def compose():
    return cpm.Collection([cpm.Model(Light, axis_ratio=cpm.UniformPrior(0.1, 1.0)) for _ in range(1000)])


def test_composing_a_thousand_models(benchmark):
    """Goal: under a second."""
    benchmark(compose)


def test_info_of_a_thousand_models(benchmark):
    """Goal: under a second."""
    benchmark(lambda: compose().info)
