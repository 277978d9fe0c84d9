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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, override

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform

from classy_pm.likelihood.shared_numbers import SharedNumbers
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
    prior : AbstractPrior
    transform : PartlyCentred
    symbol : SharedVariable
        How far it is centred, in a graph.
    """

    name: str
    prior: AbstractPrior
    transform: PartlyCentred
    symbol: Any

    @property
    def share(self) -> np.ndarray:
        """How far it is centred, of its shape. What is written into it is what compiled functions read."""
        return np.asarray(self.symbol.get_value(borrow=True))

    def sharpness(self, value_of: Any) -> Any:
        """Return the curvature of the parent's log density along the offsets, its mean over the parent."""
        return _PARENTS[self.prior.pymc_name or ""].sharpness(self.prior.evaluated_arguments(value_of))


class Centring:
    """How far all parameters that are drawn from parents are centred; to begin with they are.

    Parameters
    ----------
    plan : Plan

    Attributes
    ----------
    members : dict of str to Member
    wanted : dict of str to float
        The shares of parameters that a user has given; of the others None, and they are to be chosen.
    modes : numpy.ndarray, shape (number, plan.size), optional
        The modes at which the shares were chosen, the highest first.
    numbers : SharedNumbers
        The shares of all.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.wanted: dict[str, float | None] = {}
        self.modes: np.ndarray | None = None
        found = [
            (place, make) for place, prior in plan.dependent if (make := _transform_of(prior)) is not None
        ]
        self._found = [(plan.parameters[place], make) for place, make in found]
        self.members: dict[str, Member] = {}
        self.use(
            SharedNumbers(
                [parameter.shape for parameter, _ in self._found],
                [f"{parameter.name}::share" for parameter, _ in self._found],
            )
        )

    def use(self, numbers: SharedNumbers) -> None:
        """Have the shares in other numbers of the same shapes, and all members centred to begin with."""
        self.numbers = numbers
        for (parameter, make), symbol in zip(self._found, numbers.symbols, strict=True):
            member = Member(parameter.name, parameter.prior, make(symbol), symbol)
            self.members[parameter.name] = member
        self.set(1.0)

    def __reduce__(self) -> Any:
        # What is a view of the settings has to be one in another process.
        return _restored, (self._plan, self.wanted, self.modes, self.numbers.vector)

    def transform_of(self, name: str) -> PartlyCentred | None:
        """Return the transform of a parameter, None if it has no parent."""
        member = self.members.get(name)
        return None if member is None else member.transform

    def freeze(self) -> None:
        """Make the shares constants of the models that are built from now on."""
        for member in self.members.values():
            member.transform.share = pt.constant(member.share.copy())

    def set(self, share: float) -> None:
        """Give all members the same share."""
        self.numbers.vector[...] = share


def _restored(
    plan: Plan, wanted: dict[str, float | None], modes: np.ndarray | None, shares: np.ndarray
) -> Centring:
    made = Centring(plan)
    made.wanted, made.modes = wanted, modes
    made.numbers.vector[...] = shares
    return made


class Parent(NamedTuple):
    """What is to be known of a family of parents.

    Attributes
    ----------
    transform : type of PartlyCentred
    arguments : tuple of str
        Its location and its scale, the latter last; PyMC's own distributions have PyMC's names for them.
    sharpness : callable
        Gives the mean curvature of its log density along the offsets for all its arguments' values.
    """

    transform: type[PartlyCentred]
    arguments: tuple[str, ...] = ("mean", "mu", "sigma")
    sharpness: Callable[[Mapping[str, Any]], Any] = lambda arguments: 1.0


# By the names of PyMC's distributions.
_PARENTS = {
    "Normal": Parent(PartlyCentred),
    "TruncatedNormal": Parent(PartlyCentredWithin),
    "LogNormal": Parent(LogPartlyCentred),
    "StudentT": Parent(PartlyCentred, sharpness=lambda given: (given["nu"] + 1.0) / (given["nu"] + 3.0)),
    "HalfNormal": Parent(LogPartlyScaled, ("sigma",), lambda given: 2.0),
    "Gamma": Parent(LogPartlyScaled, ("beta",), lambda given: given["alpha"]),
}


def _transform_of(prior: AbstractPrior) -> Callable[[Any], PartlyCentred] | None:
    """Return what makes the transform of a prior for a share, None if it has no parent to be centred on."""
    parent = _PARENTS.get(prior.pymc_name or "")
    dependent = {name for name, _ in prior.inputs()}
    if parent is None or dependent.isdisjoint(parent.arguments):
        return None
    if parent.arguments[-1] not in prior.arguments:  # a precision, say, stands for the scale
        return None
    if parent.transform is not PartlyCentredWithin:
        return parent.transform
    limits = [
        prior.arguments.get(ours, prior.arguments.get(theirs, infinite))
        for ours, theirs, infinite in (("lower_limit", "lower", -np.inf), ("upper_limit", "upper", np.inf))
    ]
    given = [not (isinstance(limit, (int, float)) and np.isinf(limit)) for limit in limits]
    return None if all(given) else lambda share: PartlyCentredWithin(share, 1 if given[0] else -1)
