"""Small records and trees for the tests of the catalogue; also imported by their subprocesses."""

from __future__ import annotations

import uuid

import numpy as np
import xarray as xr

from classy_pm.catalog import FitRecord, ParameterRecord, fit_key

GAUSSIAN = ("profiles:Gaussian", ())
KURTOSIS = ("profiles:GaussianKurtosis", ("profiles:Gaussian",))


def make_key(number):
    return fit_key({"number": number})


def make_tree(seed=0, draws=20, names=("profile.centre", "profile.sigma")):
    """A tree with what is hard to keep: dots, texts, booleans, NaN, times, and odd attributes."""
    rng = np.random.default_rng(seed)
    posterior = xr.Dataset(
        {name: (("chain", "draw"), rng.normal(size=(2, draws))) for name in names},
        coords={"chain": [0, 1], "draw": np.arange(draws)},
        attrs={"sampling_time": 1.5, "tuned": True, "nothing": None, "nested": {"a": [1, float("inf")]}},
    )
    posterior["shift"] = (("chain", "draw", "dataset"), rng.normal(size=(2, draws, 2)), {"units": "µm"})
    posterior = posterior.assign_coords(dataset=["Ünï", "b c"], masked=("dataset", [True, False]))
    stats = xr.Dataset(
        {
            "diverging": (("chain", "draw"), np.zeros((2, draws), bool)),
            "note": ((), "text"),
            "started": ((), np.datetime64("2026-01-01T00:00:00.5", "ns")),
        }
    )
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"creator": "the tests"}),
            "/posterior": posterior,
            "/sample_stats": stats,
            "/observed_data": xr.Dataset({"y": ("obs", np.array([1.0, np.nan, -np.inf]))}),
            "/empty": xr.Dataset({"nothing": ("none", np.zeros(0))}),
        }
    )


def make_record(number=0, *, centre=1.0, cls=GAUSSIAN, **changes):
    ref, bases = cls
    fields = {
        "fit_key": make_key(number),
        "run_id": uuid.uuid4().hex,
        "name": "line",
        "unique_tag": f"object_{number}",
        "search": "NUTS",
        "settings": {"draws": 20},
        "components": (("profile", ref, bases),),
        "parameters": (
            ParameterRecord(
                "profile.centre", mean=centre, median=centre, sd=0.5, lo3=centre - 2, hi3=centre + 2
            ),
            ParameterRecord("profile.sigma", median=5.0, rhat=float("nan"), prior="Uniform(0, 10)"),
            ParameterRecord("profile.redshift", role="fixed", value=0.5),
            ParameterRecord("profile.label", role="fixed", value="O'Brien"),
        ),
        "info": {"index": number, "survey": "zzz' OR '1'='1", "flag": True, "list": [1, None]},
        "log_evidence": float("-inf"),
        "seconds": 1.25,
    }
    return FitRecord(**(fields | changes))
