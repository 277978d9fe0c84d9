"""How a sampler sees what is drawn from a parent: as it is, as an offset from the parent, or in between.

Where the data say much of a member of a population it is best sampled as it is, *centred*. Where they say
little, centred members have to follow their parent, whose scatter cannot become small without all of them:
the funnel. There an offset in units of the parent's scatter, *non-centred*, is best. In between lies a share
of each: with a share ``c`` of centring a normal member ``x`` of a parent with mean ``m`` and scatter ``s`` is
sampled as ``u = (x - m) / s**(1 - c) + c * m``. The posterior is the same for every share.

Papaspiliopoulos, Roberts and Sköld (2007), Statistical Science 22, 59; Gorinova, Moore and Hoffman (2020),
Proceedings of Machine Learning Research 119, 3648.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, override

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform

from classy_pm.model import AbstractPrior
from classy_pm.plan import Plan

__all__ = ["Centring", "Member"]


class PartlyCentred(Transform):
    """A member of a parent with a location and a scale.

    Parameters
    ----------
    share : TensorVariable
        How far it is centred, from 0 to 1, of the parameter's shape.
    """

    name = "partly_centred"
    ndim_supp = 0

    def __init__(self, share: Any) -> None:
        self.share = share

    def parent(self, *inputs: Any) -> tuple[Any, Any]:
        """Return location and scale, of a random variable's inputs."""
        return inputs[-2], inputs[-1]

    @override
    def forward(self, value: Any, *inputs: Any) -> Any:
        location, scale = self.parent(*inputs)
        return (value - location) / scale ** (1.0 - self.share) + self.share * location

    @override
    def backward(self, value: Any, *inputs: Any) -> Any:
        location, scale = self.parent(*inputs)
        return location + scale ** (1.0 - self.share) * (value - self.share * location)

    @override
    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        _, scale = self.parent(*inputs)
        return (1.0 - self.share) * pt.log(scale) + pt.zeros_like(value)


class PartlyCentredWithin(PartlyCentred):
    """The same on one side of a limit: far from it nothing is changed, and close to it there is no end.

    The smooth edge is as wide as the parent.

    Parameters
    ----------
    share : TensorVariable
    side : {1, -1}
        Whether members are above a lower limit or below an upper one.
    """

    name = "partly_centred_within"

    def __init__(self, share: Any, side: int) -> None:
        super().__init__(share)
        self.side = side

    @override
    def parent(self, *inputs: Any) -> tuple[Any, Any]:
        return inputs[2], inputs[3]

    def _edge(self, *inputs: Any) -> tuple[Any, Any]:
        """Return where the limit is on the scale of the offsets, and how wide the parent is there."""
        limit = inputs[4 if self.side > 0 else 5]
        return super().forward(limit, *inputs), self.side * self.parent(*inputs)[1] ** self.share

    @override
    def forward(self, value: Any, *inputs: Any) -> Any:
        edge, width = self._edge(*inputs)
        within = (super().forward(value, *inputs) - edge) / width
        return edge + width * (within + pt.log(-pt.expm1(-within)))

    @override
    def backward(self, value: Any, *inputs: Any) -> Any:
        edge, width = self._edge(*inputs)
        return super().backward(edge + width * pt.softplus((value - edge) / width), *inputs)

    @override
    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        edge, width = self._edge(*inputs)
        return super().log_jac_det(value, *inputs) - pt.softplus((edge - value) / width)


class LogPartlyCentred(PartlyCentred):
    """A positive member whose logarithm has the location and the scale."""

    name = "log_partly_centred"

    @override
    def forward(self, value: Any, *inputs: Any) -> Any:
        return super().forward(pt.log(value), *inputs)

    @override
    def backward(self, value: Any, *inputs: Any) -> Any:
        return pt.exp(super().backward(value, *inputs))

    @override
    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        return super().log_jac_det(value, *inputs) + super().backward(value, *inputs)


class LogPartlyScaled(LogPartlyCentred):
    """A positive member of a parent with a scale alone: the logarithm of the scale is its location."""

    name = "log_partly_scaled"

    @override
    def parent(self, *inputs: Any) -> tuple[Any, Any]:
        return pt.log(inputs[-1]), pt.ones(())


@dataclass(frozen=True)
class Member:
    """A parameter that is drawn from a parent.

    Attributes
    ----------
    name : str
    place : int
        Which of the plan's parameters it is.
    prior : AbstractPrior
    transform : PartlyCentred
    share : numpy.ndarray, of the parameter's shape
        How far it is centred. What is written into it is what compiled functions read.
    symbol : SharedVariable
        The same in a graph.
    """

    name: str
    place: int
    prior: AbstractPrior
    transform: PartlyCentred
    share: np.ndarray
    symbol: Any

    def sharpness(self, value_of: Any) -> Any:
        """Return the curvature of the parent's log density along the offsets, its mean over the parent."""
        arguments = self.prior.evaluated_arguments(value_of)
        if self.prior.pymc_name == "StudentT":
            return (arguments["nu"] + 1.0) / (arguments["nu"] + 3.0)
        if self.prior.pymc_name == "Gamma":
            return arguments["alpha"]
        return 2.0 if self.prior.pymc_name == "HalfNormal" else 1.0


class Centring:
    """How far all parameters that are drawn from parents are centred; to begin with they are.

    Parameters
    ----------
    plan : Plan
    wanted : mapping of str to float or None, optional
        The shares of parameters that a user has given; the others are to be chosen.

    Attributes
    ----------
    members : dict of str to Member
    wanted : dict of str to float or None
    modes : numpy.ndarray, shape (number, plan.size), optional
        The modes at which the shares were chosen, the highest first.
    settings : numpy.ndarray
        The shares of all, which are views of it.
    """

    def __init__(self, plan: Plan, wanted: Mapping[str, float | None] | None = None) -> None:
        self._plan = plan
        self.wanted = dict(wanted or {})
        self.modes: np.ndarray | None = None
        found = [
            (place, make) for place, prior in plan.dependent if (make := _transform_of(prior)) is not None
        ]
        sizes = [int(np.prod(plan.parameters[place].shape, dtype=int)) for place, _ in found]
        self.settings = np.ones(sum(sizes))
        self.members: dict[str, Member] = {}
        for (place, make), size, end in zip(found, sizes, np.cumsum(sizes), strict=True):
            parameter = plan.parameters[place]
            share = self.settings[end - size : end].reshape(parameter.shape)
            symbol = pytensor.shared(share, name=f"{parameter.name}::share", shape=share.shape, borrow=True)
            self.members[parameter.name] = Member(
                parameter.name, place, parameter.prior, make(symbol), share, symbol
            )

    def __reduce__(self) -> Any:
        # What is a view of the settings has to be one in another process.
        return _restored, (self._plan, self.wanted, self.modes, self.settings)

    def transform_of(self, name: str) -> PartlyCentred | None:
        """Return the transform of a parameter, None if it has no parent."""
        member = self.members.get(name)
        return None if member is None else member.transform

    def of_settings(self, settings: Any) -> dict[Any, Any]:
        """Return what of a vector with all settings stands for each of the symbols."""
        found, start = {}, 0
        for member in self.members.values():
            size = member.share.size
            found[member.symbol] = pt.reshape(settings[start : start + size], member.share.shape)
            start += size
        return found

    def freeze(self) -> None:
        """Make the shares constants of the models that are built from now on."""
        for member in self.members.values():
            member.transform.share = pt.constant(member.share.copy())

    def set(self, share: float) -> None:
        """Give all members the same share."""
        self.settings[...] = share


def _restored(
    plan: Plan, wanted: dict[str, float | None], modes: np.ndarray | None, settings: np.ndarray
) -> Centring:
    made = Centring(plan, wanted)
    made.modes = modes
    made.settings[...] = settings
    return made


def _transform_of(prior: AbstractPrior) -> Any:
    """Return what makes the transform of a prior for a share, None if it has no parent to be centred on."""
    # PyMC's own distributions have PyMC's names for the same arguments.
    normal = ("mean", "mu", "sigma")
    of_parent = {
        "Normal": normal,
        "StudentT": normal,
        "LogNormal": normal,
        "TruncatedNormal": normal,
        "HalfNormal": ("sigma",),
        "Gamma": ("beta",),
    }.get(prior.pymc_name or "", ())
    dependent = [name for name, _ in prior.inputs()]
    if not any(name in dependent for name in of_parent) or of_parent[-1] not in prior.arguments:
        return None
    if prior.pymc_name == "TruncatedNormal":
        limits: Sequence[Any] = [
            prior.arguments.get(ours, prior.arguments.get(theirs, infinite))
            for ours, theirs, infinite in (
                ("lower_limit", "lower", -np.inf),
                ("upper_limit", "upper", np.inf),
            )
        ]
        given = [not (isinstance(limit, (int, float)) and np.isinf(limit)) for limit in limits]
        if all(given):
            return None
        return lambda share: PartlyCentredWithin(share, 1 if given[0] else -1)
    if prior.pymc_name == "LogNormal":
        return LogPartlyCentred
    return LogPartlyScaled if len(of_parent) == 1 else PartlyCentred
