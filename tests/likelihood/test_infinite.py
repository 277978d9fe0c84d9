"""Infinite values in the data: named as NaN are, where no likelihood comes of them."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import DataError

SEARCH = cpm.Emcee(nwalkers=10, nsteps=40, random_seed=1)
CALLS = {
    "fit": lambda model, analysis: SEARCH.fit(model, analysis),
    "to_pymc": cpm.to_pymc,
    "check_gradient": cpm.check_gradient,
}


@pytest.mark.parametrize("call", CALLS)
def test_infinite_data_are_refused_naming_every_array(call, gaussian_model, gaussian_analysis):
    gaussian_analysis.data[3] = np.inf
    gaussian_analysis.more = {"mask": [np.array([[0.0, -np.inf]])]}
    gaussian_analysis.limit = np.inf
    with pytest.raises(DataError) as caught:
        CALLS[call](gaussian_model, gaussian_analysis)
    assert caught.value.faults == (
        "data: 1 of 100 values are infinite, the first at (3,)",
        "more.mask.0: 1 of 2 values are infinite, the first at (0, 1)",
    )
    assert "allow_nan = True" in caught.value.cure


def test_infinite_errors_of_masked_data_are_no_fault(gaussian_model, gaussian_analysis):
    gaussian_analysis.noise_map[3] = np.inf
    cpm.to_pymc(gaussian_model, gaussian_analysis)


def test_infinite_data_are_taken_where_the_class_says_so(gaussian_model, gaussian_analysis):
    class Careful(type(gaussian_analysis)):
        allow_nan = True

        def log_likelihood_function(self, instance):
            return -np.inf if instance.centre < 1000.0 else 0.0

    gaussian_analysis.data[3] = np.inf
    with pytest.raises(cpm.ClassyError) as caught:
        SEARCH.fit(gaussian_model, Careful(gaussian_analysis.data, gaussian_analysis.noise_map))
    assert not isinstance(caught.value, DataError)
