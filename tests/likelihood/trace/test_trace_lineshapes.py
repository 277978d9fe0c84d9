"""Other people's code: all line shapes of lmfit, as they are installed."""

import importlib
import inspect

import numpy as np
import pytensor.tensor as pt
import pytest

from classy_pm.likelihood.trace import prove, trace

lineshapes = importlib.import_module("lmfit.lineshapes")
VALUES = {
    "center": 2.7,
    "centerx": 0.3,
    "centery": 0.2,
    "center1": 2.0,
    "center2": 5.0,
    "expon": 1.7,
    "q": 1.2,
    "gamma": 0.6,
    "fraction": 0.4,
    "skew": 0.3,
    "amplitude": 2.0,
    "beta": 1.3,
    "kt": 0.8,
    "decay": 1.5,
}
DATA = np.random.default_rng(0).normal(size=41)


def test_there_are_thirty_line_shapes():
    assert len(lineshapes.functions) == 30


@pytest.mark.parametrize("name", lineshapes.functions)
def test_line_shape_traces_and_matches_in_value_and_gradient(name):
    function = getattr(lineshapes, name)
    names = [key for key in inspect.signature(function).parameters if key not in ("x", "y", "form")]
    other = {"y": np.linspace(-2, 3, 41)} if name == "gaussian2d" else {}

    def log_likelihood(values):
        x = np.linspace(0.1, 8, 41)
        return -0.5 * np.sum((DATA - function(x, **other, **dict(zip(names, values, strict=True)))) ** 2)

    inputs = [pt.dscalar(key) for key in names]
    random = np.random.default_rng(1)
    points = [tuple(VALUES.get(key, 0.9) * (1 + 0.2 * random.normal()) for key in names) for _ in range(20)]
    traced = trace(log_likelihood, inputs, witnesses=points)
    proof = prove(traced, inputs, lambda *values: log_likelihood(values), points[:6])
    assert proof.worst_error < 1e-12
    assert proof.worst_gradient_error < 1e-4
    assert traced.terms is not None
