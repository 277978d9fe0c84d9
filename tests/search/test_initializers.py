"""Where an ensemble starts."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import SettingError
from classy_pm.plan import make_plan
from classy_pm.search.identity import Identity


class Point:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


@pytest.fixture
def model():
    point = cpm.Model(Point, x=cpm.UniformPrior(0.0, 10.0), y=cpm.GaussianPrior(1.0, 2.0))
    return cpm.Collection(point=point)


def start(initializer, model):
    return initializer.vectors(make_plan(model), 500, np.random.default_rng(1))


def test_a_ball_lies_between_two_prior_probabilities(model):
    x, _ = start(cpm.InitializerBall(0.4, 0.6), model).T
    assert 4.0 <= x.min() < 4.1 and 5.9 < x.max() <= 6.0


@pytest.mark.parametrize("by_name", [True, False])
def test_bounds_and_start_points_are_those_of_their_parameters_and_the_others_have_the_prior(model, by_name):
    key = "point.x" if by_name else model.point.x
    x, y = start(cpm.InitializerParamBounds({key: (2.0, 3.0)}), model).T
    assert 2.0 <= x.min() < 2.1 and 2.9 < x.max() <= 3.0 and 1.8 < y.std() < 2.2
    x, y = start(cpm.InitializerParamStartPoints({key: 2.0}), model).T
    np.testing.assert_allclose(x, 2.0, atol=0.07)
    assert x.std() > 0.01 and 1.8 < y.std() < 2.2


def test_a_parameter_that_is_not_there_is_refused_with_the_near_name(model):
    with pytest.raises(SettingError, match=r"point\.x"):
        start(cpm.InitializerParamBounds({"pont.x": (2.0, 3.0)}), model)
    with pytest.raises(SettingError, match="hold nothing"):
        start(cpm.InitializerParamBounds({"point.x": (3.0, 2.0)}), model)


def test_by_prior_and_by_name_is_the_same_fit(model):
    class Flat(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return 0.0

    plan = make_plan(model)
    keys = {
        Identity.of(cpm.Emcee(initializer=cpm.InitializerParamStartPoints({key: value})), plan, Flat()).key
        for key, value in (("point.x", 2.0), (model.point.x, 2.0), ("point.x", 3.0))
    }
    assert len(keys) == 2
