"""Looks at a fit's draws and says in words what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from classy_pm.errors import some_of
from classy_pm.result import tree as trees

__all__ = ["diagnose"]

# The limits of Vehtari et al. (2021), "Rank-normalization, folding, and localization: an improved
# R-hat", Bayesian Analysis 16, 667. Walkers are no such chains: when their ensemble has converged, after
# 50 autocorrelation times, each has some 50 effective draws, and so an R-hat of 1.01 to 1.02.
MAX_R_HAT = {"chains": 1.01, "ensemble": 1.05, "nested": 1.01}
MIN_ESS_PER_CHAIN = 100
# So many assertions are named.
SHOWN = 3
# How to come by more draws.
_MORE = {
    "chains": "Draw longer.",
    "ensemble": "Raise nsteps.",
    "nested": "Ask for more effective draws, or more live points.",
}


def diagnose(tree: xr.DataTree, notices: list[str], assertions: Sequence[str] = ()) -> xr.DataTree:
    """Put what was noticed into the tree's attributes, and return it.

    Parameters
    ----------
    tree : xarray.DataTree
    notices : list of str
        What the search noticed.
    assertions : sequence of str
        The names of the model's assertions.
    """
    attributes = trees.attributes_of(tree)
    attributes["notices"] = [*notices, *_notices(tree, assertions)]
    tree.attrs["fit"] = json.dumps(attributes, sort_keys=True)
    return tree


def _notices(tree: xr.DataTree, assertions: Sequence[str]) -> Iterator[str]:
    sizes = tree[trees.POSTERIOR].sizes
    total = sizes["chain"] * sizes["draw"]
    if trees.has_stat(tree, trees.DIVERGING):
        diverging = int(np.sum(trees.stat_of(tree, trees.DIVERGING)))
        if diverging and assertions:
            named = some_of((f"`{name}`" for name in assertions), SHOWN)
            yield (
                f"{diverging} of {total} draws ended a divergent trajectory. So does each that meets the "
                f"edge of an assertion ({named}), of which no gradient tells. The draws are of the posterior "
                "where the chains agree, but they are worth less: draw longer. Emcee and Nautilus need no "
                "gradient; and an order without an edge, if its prior is one to you, is b = a + gap with a "
                "positive gap."
            )
        elif diverging > total // 2:
            yield (
                f"{diverging} of {total} draws ended a divergent trajectory: the posterior may have no end, "
                "or no width. Is the sign of the log likelihood right?"
            )
        elif diverging:
            yield (
                f"{diverging} of {total} draws ended a divergent trajectory: parts of the posterior may not "
                "have been reached. Raise target_accept, or reparameterise."
            )
    kind = trees.attributes_of(tree).get("kind", "chains")
    if kind in ("optimum", "approximation"):
        return  # no chains: what is known of their truth, the search itself says
    table = trees.free_rows(tree, trees.table_of(tree))
    if kind == "chains" and sizes["chain"] == 1:
        yield "A single chain cannot show whether it has found all of the posterior. Run several."
    apart = {name: row["r_hat"] for name, row in table.items() if row["r_hat"] > MAX_R_HAT[kind]}
    if apart:
        largest = _above(max(apart.values()), MAX_R_HAT[kind])
        yield (
            f"The {'walkers' if kind == 'ensemble' else 'chains'} do not agree: R-hat is "
            f"{largest} for {_worst(apart)} (at most {MAX_R_HAT[kind]} is wanted). "
            f"{_MORE[kind].rstrip('.')}, or look for several modes."
        )
    needed = MIN_ESS_PER_CHAIN * min(sizes["chain"], 4)
    # Where it is not defined there are too few draws, or none that differ.
    few = {
        name: -np.nan_to_num(row["ess"], nan=0.0) for name, row in table.items() if not row["ess"] >= needed
    }
    if few:
        yield (
            f"There are {-max(few.values()):.0f} effective draws of {_worst(few)} "
            f"(at least {needed} are wanted). {_MORE[kind]}"
        )


def _above(value: float, limit: float) -> str:
    """Return a number that is above a limit with so many digits, three at least, that it is when read."""
    texts = (f"{value:.{decimals}f}" for decimals in range(3, 16))
    return next((text for text in texts if float(text) > limit), repr(value))


def _worst(values: dict[str, float]) -> str:
    names = sorted(values, key=lambda name: -values[name])
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"`{names[0]}`{more}"
