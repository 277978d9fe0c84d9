"""The log likelihood as a graph: traced, or computed by JAX, and proved; else called as a black box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors

from classy_pm.errors import SettingError, TraceError, WrittenInJaxError, did_you_mean
from classy_pm.likelihood.analysis import Analysis
from classy_pm.likelihood.blackbox import BlackBoxLogLikelihood
from classy_pm.likelihood.evaluate import LogLikelihood, forget_other_precision
from classy_pm.likelihood.jax_likelihood import JaxLogLikelihood, require_jax
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.likelihood.plate_trace import PlateTrace
from classy_pm.likelihood.plates import trace_plates
from classy_pm.likelihood.trace import Proof, prove, trace
from classy_pm.likelihood.warn import warn
from classy_pm.plan import Plan

__all__ = [
    "PROOF_POINTS",
    "WITNESSES",
    "LikelihoodKind",
    "SymbolicLogLikelihood",
    "inputs_of",
    "make_symbolic",
    "on_trial",
]

# A draw at which the user's function was tried, and what each data set of a graph gave, where that is known.
Tried = tuple[np.ndarray, dict[str, float] | None]

LikelihoodKind = Literal["auto", "trace", "jax", "blackbox"]

# Draws from the prior at which the user's function is tried, at which a trace is compared with it, and in
# which a trace looks for a valid point of each branch.
TRIAL_POINTS = 3
PROOF_POINTS = 8
WITNESSES = 200


@dataclass(frozen=True)
class SymbolicLogLikelihood:
    """A log likelihood in the graph.

    Attributes
    ----------
    kind : {"trace", "jax", "blackbox"}
    inputs : tuple of TensorVariable
        One a free parameter, in their order, each of its shape.
    value : TensorVariable
        The log likelihood, a scalar.
    terms : TensorVariable or None
        Its pointwise terms, a vector that sums to the value.
    reason : str
        Why it is a black box, or why there are no terms.
    proof : Proof or None
    plates : PlateTrace or None
        Of a graph of factors, the log likelihood of each.
    plain : LogLikelihood
        The user's function itself; of the kind "jax", as JAX has compiled it.
    """

    kind: Literal["trace", "jax", "blackbox"]
    inputs: tuple[Any, ...]
    value: Any
    plain: LogLikelihood
    terms: Any = None
    reason: str = ""
    proof: Proof | None = field(default=None, compare=False)
    plates: PlateTrace | None = field(default=None, compare=False)

    @property
    def differentiable(self) -> bool:
        """Whether the graph has a gradient."""
        return self.kind == "trace" or self.plain.has_gradient

    @property
    def unused(self) -> tuple[int, ...]:
        """Which of the inputs the value does not depend on, by their places."""
        reached = set(ancestors([self.value]))
        return tuple(place for place, item in enumerate(self.inputs) if item not in reached)

    def value_at(self, parameters: Sequence[Any]) -> Any:
        """Return the value's graph for other variables in the place of the inputs."""
        return graph_replace(self.value, dict(zip(self.inputs, parameters, strict=True)), strict=False)

    def terms_at(self, parameters: Sequence[Any]) -> Any:
        """Return the terms' graph for other variables in the place of the inputs."""
        return graph_replace(self.terms, dict(zip(self.inputs, parameters, strict=True)), strict=False)


def make_symbolic(plan: Plan, analysis: Analysis, kind: LikelihoodKind = "auto") -> SymbolicLogLikelihood:
    """Put an analysis' log likelihood into a graph.

    Parameters
    ----------
    plan : Plan
    analysis : Analysis
    kind : {"auto", "trace", "jax", "blackbox"}
        "trace" raises where the likelihood cannot be traced; "jax" is for one in `jax.numpy`. "auto"
        traces it, or takes "jax" where it meets `jax.numpy`; where neither can be, it warns and calls the
        likelihood as a black box.

    Raises
    ------
    TraceError
        With "trace" or "jax", if the likelihood cannot be traced, or if the trace is not equal to it.
    WrittenInJaxError
        With "trace", if it is written in `jax.numpy`.
    MissingPackageError
        With "jax", if JAX is not installed.
    """
    if kind not in get_args(LikelihoodKind):
        raise SettingError(
            f"likelihood={kind!r} is not known.", cure=did_you_mean(str(kind), get_args(LikelihoodKind))
        )
    if kind == "jax":
        require_jax()
    plain, tried = on_trial(plan, analysis)
    inputs = inputs_of(plan)
    reason = "it was asked for"
    if kind == "auto" and analysis._opaque:
        kind = "blackbox"
    if kind != "blackbox":
        try:
            return _prove(kind, plan, analysis, inputs, plain, tried)
        except TraceError as error:
            if kind != "auto":
                raise
            reason = str(error)
            warn(f"The likelihood is called as a black box, without a gradient: {reason}")
    value = BlackBoxLogLikelihood(plain)(*inputs)
    return SymbolicLogLikelihood("blackbox", inputs, value, plain, reason=reason)


def on_trial(plan: Plan, analysis: Analysis) -> tuple[LogLikelihood, list[Tried]]:
    """Call the user's function at a few draws, and return it with them.

    A fault of it is told as what it is, before it could be taken for one of a trace.
    """
    plain = LogLikelihood(plan, analysis)
    tried: list[Tried] = []
    for vector in plan.draws(TRIAL_POINTS, random_seed=0):
        plain(vector)
        tried.append((vector, None if plain.factorwise is None else plain.factorwise.last))
    return plain, tried


def inputs_of(plan: Plan) -> tuple[Any, ...]:
    """Return a variable for each free parameter."""
    return tuple(pt.tensor(item.name, dtype="float64", shape=item.shape) for item in plan.parameters)


def _of_plates(
    plan: Plan, joint: JointAnalysis, inputs: tuple[Any, ...], plain: LogLikelihood
) -> SymbolicLogLikelihood:
    traced, proof = trace_plates(plan, joint, inputs)
    reason = traced.terms_reason or ""
    return SymbolicLogLikelihood("trace", inputs, traced.value, plain, traced.terms, reason, proof, traced)


def _of_jax_plates(
    plan: Plan, joint: JointAnalysis, inputs: tuple[Any, ...], tried: list[Tried]
) -> SymbolicLogLikelihood:
    from classy_pm.likelihood.jax_plates import jax_plates

    compiled, traced, proof = jax_plates(plan, joint, inputs, tried)
    forget_other_precision()
    reason = traced.terms_reason or ""
    return SymbolicLogLikelihood("jax", inputs, traced.value, compiled, traced.terms, reason, proof, traced)


def _prove(
    kind: LikelihoodKind,
    plan: Plan,
    analysis: Analysis,
    inputs: tuple[Any, ...],
    plain: LogLikelihood,
    tried: list[Tried],
) -> SymbolicLogLikelihood:
    """Trace the likelihood, by ourselves or by JAX, and prove the trace."""
    compiled = None
    if kind != "jax" and isinstance(analysis, JointAnalysis):
        try:
            return _of_plates(plan, analysis, inputs, plain)
        except WrittenInJaxError:
            if kind != "auto":
                raise
            kind = "jax"
    if kind == "jax" and isinstance(analysis, JointAnalysis):
        return _of_jax_plates(plan, analysis, inputs, tried)
    draws = plan.draws(WITNESSES, random_seed=0)
    if kind != "jax":
        try:
            traced = trace(
                lambda values: analysis.log_likelihood_function(plan.build(list(values))),
                inputs,
                limit=analysis.branch_limit,
                witnesses=[tuple(plan.split(draw)) for draw in draws],
            )
        except WrittenInJaxError:
            if kind != "auto":
                raise
            kind = "jax"
    if kind == "jax":
        from classy_pm.likelihood.jax_graph import jax_trace

        compiled = JaxLogLikelihood(plan, analysis)
        traced = jax_trace(compiled, inputs, draws[:PROOF_POINTS])
    proof = prove(
        traced,
        inputs,
        lambda *values: plain(np.concatenate([np.ravel(value) for value in values])),
        [tuple(plan.split(draw)) for draw in draws[:PROOF_POINTS]],
    )
    forget_other_precision()
    return SymbolicLogLikelihood(
        "trace" if compiled is None else "jax",
        inputs,
        traced.value,
        compiled or plain,
        terms=traced.terms,
        reason=traced.terms_reason or "",
        proof=proof,
    )
