"""Random trees of models, and what scipy says of their priors."""

import numpy as np
import scipy.stats
from hypothesis import strategies as st

from classy_pm.model import (
    BetaPrior,
    Collection,
    Expression,
    GammaPrior,
    GaussianPrior,
    LogUniformPrior,
    Model,
    UniformPrior,
)


class Leaf:
    def __init__(self, centre: tuple[float, float] = (0.0, 0.0), width: float = 1.0, order: int = 3):
        self.centre, self.width, self.order = centre, width, order


class Branch:
    def __init__(self, leaf: Leaf, factor=2.0, others: list | tuple | None = None):
        self.leaf, self.factor, self.others = leaf, factor, others


PRIORS = st.sampled_from(
    [
        lambda: UniformPrior(-1.0, 2.0),
        lambda: LogUniformPrior(0.1, 10.0),
        lambda: GaussianPrior(1.0, 2.0),
        lambda: GaussianPrior(1.0, 2.0, lower_limit=0.5),
        lambda: BetaPrior(2.0, 3.0),
        lambda: GammaPrior(2.0, 3.0),
        lambda: GaussianPrior(mean=UniformPrior(0.0, 1.0), sigma=0.5),
    ]
)
CONSTANTS = st.sampled_from([0.5, -2.0, 1e-10, float("inf"), 3, np.float32(1.5)])


@st.composite
def models(draw):
    """A tree of depth up to four, with shared, fixed and derived parameters and assertions."""
    pool = [draw(PRIORS)() for _ in range(draw(st.integers(1, 3)))]

    def value():
        kind = draw(st.sampled_from(["new", "shared", "fixed", "derived"]))
        if kind == "fixed":
            return draw(CONSTANTS)
        if kind == "derived":
            return draw(st.sampled_from([lambda p: 2.0 * p + 1.0, lambda p: np.exp(p), abs]))(
                draw(st.sampled_from(pool))
            )
        if kind == "new":
            pool.append(draw(PRIORS)())
            return pool[-1]
        return draw(st.sampled_from(pool))

    def node(depth):
        kind = draw(st.sampled_from(["leaf", "branch", "collection"])) if depth else "leaf"
        if kind == "leaf":
            return Model(Leaf, centre=(value(), value()), width=value())
        if kind == "branch":
            others = [node(depth - 1) for _ in range(draw(st.integers(0, 2)))]
            kind = draw(st.sampled_from([list, tuple]))
            return Model(
                Branch, leaf=node(depth - 1), factor=value(), others=kind(others) if others else None
            )
        count = draw(st.integers(1, 3))
        return Collection({f"part_{index}": node(depth - 1) for index in range(count)})

    root = Collection(top=node(3), own=pool[0])
    if draw(st.booleans()):
        root.add_assertion(root.own < 1e6, name="below")
    return root


SCIPY = {
    "UniformPrior": lambda a: scipy.stats.uniform(a["lower_limit"], a["upper_limit"] - a["lower_limit"]),
    "LogUniformPrior": lambda a: scipy.stats.loguniform(a["lower_limit"], a["upper_limit"]),
    "GaussianPrior": lambda a: scipy.stats.truncnorm(
        (a["lower_limit"] - a["mean"]) / a["sigma"],
        (a["upper_limit"] - a["mean"]) / a["sigma"],
        a["mean"],
        a["sigma"],
    ),
    "BetaPrior": lambda a: scipy.stats.beta(a["alpha"], a["beta"]),
    "GammaPrior": lambda a: scipy.stats.gamma(a["alpha"], scale=1.0 / a["beta"]),
}


def scipys_log_prior(plan, vector):
    """The sum of scipy's log densities at one vector."""
    values = dict(zip((parameter.prior for parameter in plan.parameters), vector, strict=True))
    total = 0.0
    for prior, value in values.items():
        arguments = {
            name: values[argument] if isinstance(argument, Expression) else argument
            for name, argument in prior.arguments.items()
        }
        total += SCIPY[prior.family](arguments).logpdf(value)
    return total
