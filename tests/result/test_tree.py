"""The tree of a fit is as ArviZ makes trees."""

import arviz_base
import numpy as np
import pytest
import xarray as xr

from classy_pm.result.tree import make_tree


@pytest.mark.parametrize("terms", [1, 4])
def test_groups_are_those_that_arviz_makes(terms):
    rng = np.random.default_rng(1)
    posterior = {
        "a": rng.normal(size=(2, 5)),
        "b": rng.normal(size=(2, 5, 3)),
        "c": rng.normal(size=(2, 5, 3, 2)),
    }
    stats = {"depth": np.ones((2, 5), dtype=int), "each": rng.normal(size=(2, 5, 3))}
    total = rng.normal(size=(2, 5))
    pointwise = rng.normal(size=(2, 5, terms))
    dims = {"b": ["dataset"], "each": ["dataset"]}
    coords = {"dataset": ["x", "y", "z"], "other": ["q"]}
    tree = make_tree(
        posterior, total, 2.0 * total, free=["a"], dims=dims, coords=coords, stats=stats, pointwise=pointwise
    )
    expected = arviz_base.from_dict(
        {
            "posterior": posterior,
            "sample_stats": {**stats, "total_log_likelihood": total, "log_prior": 2.0 * total},
            "log_likelihood": {"likelihood": pointwise},
        },
        dims={**dims, "c": ["c_dim_0", "c_dim_1"], "likelihood": ["likelihood_term"]},
        coords=coords,
    )
    assert list(tree.children) == list(expected.children)
    for name, group in expected.children.items():
        found, made = tree[name].to_dataset(), group.to_dataset()
        for dataset in (found, made):
            del dataset.attrs["created_at"]
        xr.testing.assert_identical(found, made)
        assert list(found.coords) == list(made.coords)
        assert [found[item].dims for item in found] == [made[item].dims for item in made]
