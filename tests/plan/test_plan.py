"""Plans: densities of batches against scipy, and what cannot be planned."""

import numpy as np
import pytest
import scipy.stats as st

from classy_pm.errors import ModelError
from classy_pm.model import Collection, GaussianPrior, LogUniformPrior, Model, UniformPrior
from classy_pm.plan import make_plan


class Gaussian:
    def __init__(self, centre=0.0, intensity=0.1, sigma=0.01):
        self.centre, self.intensity, self.sigma = centre, intensity, sigma


def make_model():
    line = Model(Gaussian, centre=UniformPrior(0.0, 10.0), intensity=LogUniformPrior(0.1, 10.0))
    line.sigma = GaussianPrior(mean=GaussianPrior(1.0, 2.0), sigma=0.5)
    return Collection(line=line, other=UniformPrior(-1.0, 1.0))


def test_the_log_prior_of_a_batch_is_the_sum_of_scipys():
    plan = make_plan(make_model())
    vectors = plan.draws(50, random_seed=1)
    centre, intensity, mean, sigma, other = vectors.T
    expected = (
        st.uniform(0.0, 10.0).logpdf(centre)
        + st.loguniform(0.1, 10.0).logpdf(intensity)
        + st.norm(1.0, 2.0).logpdf(mean)
        + st.norm(mean, 0.5).logpdf(sigma)
        + st.uniform(-1.0, 2.0).logpdf(other)
    )
    np.testing.assert_allclose(plan.log_prior(vectors), expected, rtol=1e-12)
    assert plan.log_prior(vectors[0]) == pytest.approx(expected[0])


def test_the_log_prior_is_minus_infinity_outside_limits_and_assertions():
    model = make_model()
    model.add_assertion(model.other > 0.0)
    plan = make_plan(model)
    inside = np.array([5.0, 1.0, 1.0, 1.0, 0.5])
    assert np.isfinite(plan.log_prior(inside))
    for index, value in [(0, 11.0), (1, 0.01), (4, -0.5), (4, 2.0), (3, np.nan)]:
        outside = inside.copy()
        outside[index] = value
        assert plan.log_prior(outside) == -np.inf


def test_a_plan_does_not_follow_later_changes_of_the_model():
    model = make_model()
    plan = make_plan(model)
    model.line.centre = 1.0
    assert plan.size == 5 and plan.instance(np.arange(5.0)).line.centre == 0.0


def test_equal_models_have_equal_descriptions_and_links_are_part_of_it():
    assert make_plan(make_model()).identity == make_plan(make_model()).identity
    shared, apart = make_model(), make_model()
    prior = UniformPrior(0.0, 1.0)
    shared.other, shared.line.centre = prior, prior
    apart.other, apart.line.centre = UniformPrior(0.0, 1.0), UniformPrior(0.0, 1.0)
    asserted = make_model()
    asserted.add_assertion(asserted.other > 1e-10)
    asserted_zero = make_model()
    asserted_zero.add_assertion(asserted_zero.other > 0.0)
    descriptions = [
        repr(make_plan(model).identity) for model in (make_model(), shared, apart, asserted, asserted_zero)
    ]
    assert len(set(descriptions)) == 5


def test_all_that_is_missing_is_named_at_once():
    with pytest.raises(ModelError) as caught:
        make_plan(Collection(line=Gaussian))
    assert all(f"line.{name}" in str(caught.value) for name in ("centre", "intensity", "sigma"))


@pytest.mark.parametrize("thing", [Gaussian, None, Gaussian()])
def test_what_is_no_model_is_refused(thing):
    with pytest.raises(ModelError, match="not a model"):
        make_plan(thing)


def test_an_assertion_about_a_parameter_that_is_gone_is_told():
    model = Model(Gaussian, intensity=1.0, sigma=UniformPrior(), centre=UniformPrior())
    model.add_assertion(model.sigma > 0.5)
    model.sigma = 1.0
    with pytest.raises(ModelError, match="not in the model"):
        make_plan(model)


def test_assertions_that_no_draw_meets_are_told():
    model = Model(Gaussian, intensity=1.0, sigma=1.0, centre=UniformPrior())
    model.add_assertion(model.centre > 2.0)
    with pytest.raises(ModelError, match="None of"):
        model.random_instance(random_seed=1)


def test_a_name_that_no_file_can_hold_is_refused_before_anything_is_drawn():
    inner = Collection(**{"x" * 120: UniformPrior(0.0, 1.0)})
    with pytest.raises(ModelError, match="has 221 characters with the names above it"):
        make_plan(Collection(**{"y" * 100: inner}))
    make_plan(Collection(**{"y" * 79: inner}))
