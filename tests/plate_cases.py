"""Data sets of many forms, for the tests of plates, and in how many batches they are."""

from collections import namedtuple
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline

import classy_pm as cpm


class Line:
    def __init__(self, centre, height):
        self.centre, self.height = centre, height

    def at(self, x):
        return self.height * np.exp(-0.5 * ((x - self.centre) / 4.0) ** 2)


class Spectrum(cpm.Analysis):
    def __init__(self, data, noise=1.0, **more):
        self.data, self.noise = data, noise
        vars(self).update(more)

    def log_likelihood_function(self, instance):
        residuals = (self.data - instance.line.at(np.arange(self.data.size))) / self.noise
        return -0.5 * np.sum(residuals**2) - self.data.size * np.log(self.noise)


class Scaled(Spectrum):
    def log_likelihood_function(self, instance):
        shift = self.redshift * 3.0 if self.redshift > 0.5 else 0.0
        model = instance.line.at(np.arange(self.data.size) - shift)
        return (
            -0.5 * np.sum((self.data - model) ** 2)
            if self.kind == "gauss"
            else -np.sum(np.abs(self.data - model))
        )


class Exposures(cpm.Analysis):
    def __init__(self, exposures):
        self.exposures = exposures

    def log_likelihood_function(self, instance):
        x = np.arange(self.exposures[0].size)
        return sum(-0.5 * np.sum((data - instance.line.at(x)) ** 2) for data in self.exposures)


class Optional(cpm.Analysis):
    def __init__(self, data, other):
        self.data, self.other = data, other

    def log_likelihood_function(self, instance):
        value = -0.5 * np.sum((self.data - instance.line.at(np.arange(self.data.size))) ** 2)
        return value if self.other is None else value - 0.5 * (self.other - instance.line.centre) ** 2


RNG = np.random.default_rng(3)


def noise(size=20):
    return RNG.normal(0.0, 1.0, size)


def analysis_class(function, **names):
    """A class of analyses with a likelihood of (self, centre, height)."""

    def log_likelihood_function(self, instance):
        return function(self, instance.line.centre, instance.line.height)

    return type("Made", (Spectrum,), {"log_likelihood_function": log_likelihood_function, **names})


def each(function, sizes=(9, 12, 15, 10, 9), **attributes):
    """Analyses of data of several lengths; further attributes are made of the length."""
    made = analysis_class(function)
    return [made(noise(size), **{name: make(size) for name, make in attributes.items()}) for size in sizes]


def filled_by_a_loop(self, centre, height):
    model = np.zeros(len(self.data))
    for place in range(len(self.data)):
        model[place] = height * place - centre
    return -np.sum((self.data - model) ** 2)


def gaussian_process(self, centre, height):
    x = np.arange(self.data.size) / 3.0
    covariance = height**2 * np.exp(-0.5 * (x[:, None] - x) ** 2) + np.eye(x.size)
    factor = np.linalg.cholesky(covariance)
    residuals = self.data - centre
    return -0.5 * residuals @ np.linalg.solve(covariance, residuals) - np.sum(np.log(np.diag(factor)))


def image(self, centre, height):
    y, x = np.indices(self.data.shape)
    return -0.5 * np.sum((self.data - height * x + 0.01 * centre * y) ** 2)


def place(self):
    return np.arange(self.data.size)


def squares(self, centre, height):
    return -np.sum((self.data - centre) ** 2) - height


# What is right for each of several lengths: the likelihood, and in how many batches they are.
LENGTHS = {
    "the number of data": (1, each(lambda s, c, h: squares(s, c, h) - 0.5 * len(s.data) * np.log(h + 1.0))),
    "their places": (1, each(lambda s, c, h: -np.sum((s.data - c * place(s)) ** 2))),
    "an array filled by a loop": (1, each(filled_by_a_loop)),
    "a mean": (1, each(lambda s, c, h: -np.mean((s.data - c) ** 2) * h)),
    "a standard deviation": (1, each(lambda s, c, h: -np.std(s.data * h - c * place(s)))),
    "a largest value": (1, each(lambda s, c, h: -np.max(np.abs(s.data - c)) - h)),
    "a product of vectors": (1, each(lambda s, c, h: -(s.data - c) @ (s.data - c) * h)),
    "differences": (1, each(lambda s, c, h: -np.sum(np.diff(s.data * h - c * place(s)) ** 2))),
    "the last value": (
        1,
        each(lambda s, c, h: -((s.data[-1] * h - c) ** 2) - np.sum((s.data[:-1] - h) ** 2)),
    ),
    "backwards": (1, each(lambda s, c, h: -np.sum((s.data[::-1] * h - s.data - c) ** 2))),
    "one after another": (
        1,
        each(lambda s, c, h: -np.sum((np.concatenate([s.data * h, s.data[::2] * c]) - 1.0) ** 2)),
    ),
    "running sums": (1, each(lambda s, c, h: -np.sum((np.cumsum(s.data * h) - c) ** 2))),
    "a matrix of the data": (
        1,
        each(lambda s, c, h: -np.sum((np.outer(s.data, s.data) * h - c) ** 2), (9, 10, 11)),
    ),
    "a normalised model": (
        1,
        each(lambda s, c, h: -np.sum((s.data - h / np.sum(np.exp(-c * place(s) / 9))) ** 2)),
    ),
    "a branch": (1, each(lambda s, c, h: squares(s, c, h) if h > 1.5 else -np.sum(np.abs(s.data - c)))),
    "a matrix": (1, each(gaussian_process, (5, 6))),
    "rows": (1, [analysis_class(image)(noise((size, 5))) for size in (4, 5, 6)]),
    "images": (1, [analysis_class(image)(noise((size, 11 - size))) for size in (5, 6, 5)]),
    "arrays of two lengths": (
        1,
        each(lambda s, c, h: squares(s, c, h) - np.sum((s.other - c) ** 2), other=noise),
    ),
    "a mask": (1, each(lambda s, c, h: -np.sum((s.data - c)[s.data > 0.0] ** 2) * h)),
    "a mask of its own": (
        1,
        each(
            lambda s, c, h: -np.sum((s.data - c)[s.good] ** 2) - h, good=lambda size: np.arange(size) % 4 > 0
        ),
    ),
    "places in a table": (
        1,
        each(
            lambda s, c, h: -np.sum((np.linspace(0.0, c, 40)[s.where] - s.data) ** 2) - h,
            where=lambda size: RNG.integers(0, 40, size),
        ),
    ),
    "an integer": (1, each(lambda s, c, h: squares(s, c, h) - h * s.count, count=lambda size: 3 * size)),
    "a spline": (
        1,
        each(
            lambda s, c, h: -np.sum((s.spline(place(s) * h / 9.0) * c - s.data) ** 2),
            spline=lambda size: CubicSpline(np.arange(7.0), noise(7)),
        ),
    ),
    "a function": (1, each(lambda s, c, h: squares(s, s.of(c), h), of=lambda size: lambda x: x * size)),
    "counts": (
        1,
        [
            analysis_class(lambda s, c, h: np.sum(s.data * np.log(h + 0.1) - h) - c**2)(RNG.poisson(3, n))
            for n in (5, 7)
        ],
    ),
    "complex data": (
        1,
        [
            analysis_class(lambda s, c, h: -np.sum(np.abs(s.data - h * np.exp(1j * c * place(s))) ** 2))(
                noise(size) + 1j * noise(size)
            )
            for size in (5, 6)
        ],
    ),
    "a number of data that branches": (
        2,
        each(lambda s, c, h: squares(s, c, h) if s.data.size > 11 else -h - c**2),
    ),
    "very different lengths": (3, each(squares, (2, 8, 32, 128))),
    "a median": (4, each(lambda s, c, h: -np.median(np.abs(s.data - c)) * h)),
    "a convolution": (4, each(lambda s, c, h: -np.sum((np.convolve(h * place(s), np.ones(3)) - c) ** 2))),
}


Pair = namedtuple("Pair", "data weight")


@dataclass(frozen=True)
class Frozen:
    data: np.ndarray
    weight: float


class Kind(Enum):
    GAUSS = 1
    LAPLACE = 2


class Slotted(cpm.Analysis):
    __slots__ = ("data", "scale")

    def __init__(self, size):
        self.data, self.scale = noise(size), 1.0 + size

    def log_likelihood_function(self, instance):
        return -np.sum((self.data - instance.line.centre) ** 2) / self.scale - instance.line.height


class Child:
    def __init__(self, parent):
        self.parent = parent


class Cyclic(Spectrum):
    def __init__(self, size):
        super().__init__(noise(size))
        self.child, self.itself, self.loop = Child(self), self, [1.0]
        self.loop.append(self.loop)

    def log_likelihood_function(self, instance):
        return squares(self.child.parent, instance.line.centre, instance.line.height)


class Cached(Spectrum):
    @cached_property
    def total(self):
        return np.sum(self.data**2)

    def log_likelihood_function(self, instance):
        return -self.total * instance.line.height - instance.line.centre


FORMS = {
    "slots": (1, [Slotted(size) for size in (5, 6, 5)]),
    "cycles": (1, [Cyclic(size) for size in (5, 6, 5)]),
    "a named tuple": (
        1,
        each(lambda s, c, h: squares(s.pair, c, h) * s.pair.weight, pair=lambda n: Pair(noise(n), n / 5.0)),
    ),
    "a frozen dataclass": (
        1,
        each(lambda s, c, h: squares(s.part, c, h) * s.part.weight, part=lambda n: Frozen(noise(n), n / 5.0)),
    ),
    "keys that are no texts": (
        1,
        each(
            lambda s, c, h: -np.sum((s.by[3] - c) ** 2) - h * s.by["a", None],
            by=lambda n: {3: noise(n), ("a", None): n / 5.0},
        ),
    ),
    "cached properties": (1, [Cached(noise(size)) for size in (5, 6)]),
    "names that are not read": (1, each(squares, name=lambda size: f"object {RNG.random()}")),
    "names that are read": (
        1,
        each(lambda s, c, h: squares(s, c, h) * len(s.name), name=lambda n: "n" * (n % 3 + 1)),
    ),
    "kinds": (
        2,
        each(
            lambda s, c, h: squares(s, c, h) if s.kind is Kind.GAUSS else -np.sum(np.abs(s.data - c)),
            kind=lambda size: Kind(1 + size % 2),
        ),
    ),
    "NaN that is left out": (
        1,
        each(
            lambda s, c, h: -np.sum((s.holes[np.isfinite(s.holes)] - c) ** 2) - h,
            holes=lambda size: np.where(np.arange(size) % 3, np.nan, noise(size)),
        ),
    ),
    "NaN in a sum": (
        1,
        each(
            lambda s, c, h: -np.nansum((s.holes - c) ** 2) - h,
            holes=lambda size: np.where(np.arange(size) % 3, np.nan, noise(size)),
        ),
    ),
    "masked arrays": (
        1,
        each(
            lambda s, c, h: -np.sum((s.masked.compressed() - c) ** 2) - h,
            masked=lambda size: np.ma.masked_greater(noise(size), 0.5),
        ),
    ),
    "no data in some": (2, each(squares, (0, 5, 0, 6))),
    "a missing array": (
        2,
        each(
            lambda s, c, h: squares(s, c, h) - (0 if s.other is None else np.sum((s.other - c) ** 2)),
            (5, 6, 7, 8),
            other=lambda size: None if size % 2 else noise(size),
        ),
    ),
}
for _, _analyses in (*LENGTHS.values(), *FORMS.values()):
    for _analysis in _analyses:
        type(_analysis).allow_nan = True

CASES = {
    "equal sizes": (1, [Spectrum(noise()) for _ in range(4)]),
    "one data set": (1, [Spectrum(noise())]),
    "the same data": (1, [Spectrum(np.ones(20))] * 3),
    "sizes": (1, [Spectrum(noise(20 + place % 3)) for place in range(7)]),
    "scalars": (1, [Spectrum(noise(), 0.5 + place) for place in range(4)]),
    "branches": (1, [Scaled(noise(), redshift=0.3 * place, kind="gauss") for place in range(5)]),
    "settings": (2, [Scaled(noise(), redshift=0.3, kind=kind) for kind in ("gauss", "laplace", "gauss")]),
    "lists": (1, [Exposures([noise(), noise()]) for _ in range(3)]),
    "lists of other lengths": (2, [Exposures([noise() for _ in range(1 + place % 2)]) for place in range(4)]),
    "one missing": (2, [Optional(noise(), None if place == 1 else 0.5 * place) for place in range(4)]),
    "two kinds": (2, [Spectrum(noise()), Exposures([noise()]), Spectrum(noise())]),
    **LENGTHS,
    **FORMS,
}
