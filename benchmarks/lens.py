"""A strong lens of 17 parameters: two light profiles, an isothermal mass, a point spread function.

`make_lens` computes with images, `make_galaxies` as people write it: with a list of positions, galaxies that
have parts, Python's `sum`, and a point spread function of 21 by 21 pixels that is no product of two vectors.
"""

import numpy as np

import classy_pm as cpm

SIZE, PIXEL, NOISE = 60, 0.1, 0.05


class Ellipse:
    def in_frame(self, x, y):
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        dx, dy = x - self.centre[0], y - self.centre[1]
        return dx * cos + dy * sin, dy * cos - dx * sin


class Light(Ellipse):
    power, norm = 0.25, 7.66924944  # De Vaucouleurs

    def __init__(
        self, centre: tuple[float, float] = (0.0, 0.0), axis_ratio=1.0, angle=0.0, intensity=1.0, radius=1.0
    ):
        self.centre, self.axis_ratio, self.angle = centre, axis_ratio, angle
        self.intensity, self.radius = intensity, radius

    def image(self, x, y):
        u, v = self.in_frame(x, y)
        radii = np.sqrt(self.axis_ratio * u**2 + v**2 / self.axis_ratio + 1e-8)
        return self.intensity * np.exp(-self.norm * ((radii / self.radius) ** self.power - 1.0))


class Disk(Light):
    power, norm = 1.0, 1.67834699


class Isothermal(Ellipse):
    """The singular isothermal ellipsoid of Kormann, Schneider and Bartelmann (1994), A&A 284, 285."""

    def __init__(self, centre: tuple[float, float] = (0.0, 0.0), axis_ratio=0.8, angle=0.0, mass=1.0):
        self.centre, self.axis_ratio, self.angle, self.mass = centre, axis_ratio, angle, mass

    def deflections(self, x, y):
        u, v = self.in_frame(x, y)
        f = np.sqrt(1.0 - self.axis_ratio**2)
        psi = np.sqrt(self.axis_ratio**2 * (u**2 + 1e-6) + v**2)
        factor = self.mass * np.sqrt(self.axis_ratio) / f
        along, across = factor * np.arctan(f * u / psi), factor * np.arctanh(f * v / (psi + 1e-6))
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return along * cos - across * sin, along * sin + across * cos


class LensAnalysis(cpm.Analysis):
    def __init__(self, image, x, y, kernel):
        self.image, self.x, self.y, self.kernel = image, x, y, kernel

    def model_image(self, instance):
        dx, dy = instance.mass.deflections(self.x, self.y)
        image = instance.bulge.image(self.x, self.y) + instance.disk.image(self.x - dx, self.y - dy)
        return image if self.kernel is None else cpm.ops.convolve2d(image, self.kernel, mode="same")

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(((self.image - self.model_image(instance)) / NOISE) ** 2)


class Galaxy:
    def __init__(self, light=None, mass=None):
        self.light, self.mass = light, mass

    def image(self, grid):
        return sum(part.image(grid[:, 0], grid[:, 1]) for part in [self.light] if part is not None)

    def deflections(self, grid):
        return np.stack(self.mass.deflections(grid[:, 0], grid[:, 1]), axis=1)


class GalaxiesAnalysis(cpm.Analysis):
    def __init__(self, image, noise_map, grid, kernel):
        self.image, self.noise_map, self.grid, self.kernel = image, noise_map, grid, kernel

    def model_image(self, instance):
        source_grid = self.grid - instance.lens.deflections(self.grid)
        image = instance.lens.image(self.grid) + instance.source.image(source_grid)
        return cpm.ops.convolve2d(image.reshape(SIZE, SIZE), self.kernel, mode="same").reshape(-1)

    def log_likelihood_function(self, instance):
        return -0.5 * sum(((self.image - self.model_image(instance)) / self.noise_map) ** 2.0)


def make_lens(psf=True):
    """Return the model and the analysis, with or without a point spread function of 9 by 9 pixels."""
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL
    x, y = np.meshgrid(axis, axis)
    offset = np.arange(-4, 5) * PIXEL
    kernel = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / 0.15**2)
    analysis = LensAnalysis(None, x, y, kernel / kernel.sum() if psf else None)
    truth = cpm.Collection(
        bulge=Light((0.01, -0.02), 0.8, 0.5, 0.5, 0.8),
        mass=Isothermal((0.0, 0.0), 0.75, 0.6, 1.4),
        disk=Disk((0.1, 0.05), 0.7, 1.0, 1.0, 0.3),
    ).instance_from_vector([])
    clean = analysis.model_image(truth)
    analysis.image = clean + np.random.default_rng(1).normal(0.0, NOISE, clean.shape)
    model = cpm.Collection(bulge=Light, mass=Isothermal, disk=Disk)
    set_priors(model.bulge, model.mass, model.disk)
    return model, analysis


def make_galaxies():
    """Return the model and the analysis in the other style; the data are the same but for the kernel."""
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    offset = np.arange(-10, 11) * PIXEL
    kernel = 1.0 / (1.0 + (offset[:, None] ** 2 + offset**2) / 0.15**2) ** 2.5  # Moffat
    analysis = GalaxiesAnalysis(None, np.full(SIZE * SIZE, NOISE), grid, kernel / kernel.sum())
    lens = Galaxy(Light((0.01, -0.02), 0.8, 0.5, 0.5, 0.8), Isothermal((0.0, 0.0), 0.75, 0.6, 1.4))
    source = Galaxy(Disk((0.1, 0.05), 0.7, 1.0, 1.0, 0.3))
    clean = analysis.model_image(cpm.Collection(lens=lens, source=source).instance_from_vector([]))
    analysis.image = clean + np.random.default_rng(1).normal(0.0, NOISE, clean.shape)
    model = cpm.Collection(
        lens=cpm.Model(Galaxy, light=cpm.Model(Light), mass=cpm.Model(Isothermal)),
        source=cpm.Model(Galaxy, light=cpm.Model(Disk), mass=None),
    )
    set_priors(model.lens.light, model.lens.mass, model.source.light)
    return model, analysis


def set_priors(bulge, mass, disk):
    for part in (bulge, mass, disk):
        part.centre = (cpm.GaussianPrior(0.0, 0.1), cpm.GaussianPrior(0.0, 0.1))
        part.axis_ratio = cpm.UniformPrior(0.3, 0.98)
        part.angle = cpm.UniformPrior(-0.6, 1.6)
    for light, limits in ((bulge, (0.1, 2.0)), (disk, (0.1, 3.0))):
        light.intensity = cpm.LogUniformPrior(*limits)
        light.radius = cpm.UniformPrior(0.1, 2.0)
    mass.mass = cpm.UniformPrior(1.0, 2.0)
