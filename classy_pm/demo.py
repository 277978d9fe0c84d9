"""The demo: the talk's Gaussian, in plain NumPy, fitted to measured data.

The data are NIST's Eckerle4 (Eckerle, 1979): circular interference transmittance against
wavelength, one of the Statistical Reference Datasets for non-linear regression, of which NIST
certifies the least squares solution.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.likelihood import Analysis
from classy_pm.model import Collection, GaussianPrior, LogUniformPrior, Model, UniformPrior
from classy_pm.result import Result
from classy_pm.result.plots import quantile_band
from classy_pm.search import NUTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CERTIFIED", "Gaussian", "LineAnalysis", "line_model", "run_demo"]

ECKERLE4 = """
400 0.0001575, 405 0.0001699, 410 0.000235, 415 0.0003102, 420 0.0004917, 425 0.000871, 430 0.0017418,
435 0.00464, 436.5 0.0065895, 438 0.0097302, 439.5 0.0149002, 441 0.023731, 442.5 0.0401683,
444 0.0712559, 445.5 0.1264458, 447 0.2073413, 448.5 0.2902366, 450 0.3445623, 451.5 0.3698049,
453 0.3668534, 454.5 0.3106727, 456 0.2078154, 457.5 0.1164354, 459 0.0616764, 460.5 0.03372,
462 0.0194023, 463.5 0.0117831, 465 0.0074357, 470 0.0022732, 475 0.00088, 480 0.0004579,
485 0.0002345, 490 0.0001586, 495 0.0001143, 500 0.000071
"""
WAVELENGTH, TRANSMITTANCE = np.array([pair.split() for pair in ECKERLE4.split(",")], dtype=float).T

# NIST writes y = b1 / b2 exp(-(x - b3)^2 / (2 b2^2)): the class's intensity is b1 sqrt(2 pi).
ROOT_2PI = float(np.sqrt(2.0 * np.pi))
CERTIFIED = {
    "line.centre": (451.54121844, 0.046800518816),
    "line.intensity": (1.5543827178 * ROOT_2PI, 0.015408051163 * ROOT_2PI),
    "line.sigma": (4.0888321754, 0.046803020753),
    "noise": (0.0067629245447, None),
}
UNITS = {"line.centre": "nm", "line.intensity": "nm", "line.sigma": "nm", "noise": ""}


class Gaussian:
    """A line profile; classy_pm knows its parameters from the arguments of its constructor."""

    def __init__(self, centre: float = 0.0, intensity: float = 0.1, sigma: float = 0.01) -> None:
        self.centre = centre
        self.intensity = intensity
        self.sigma = sigma

    def profile_from_xvalues(self, xvalues: np.ndarray) -> np.ndarray:
        """Return the profile at these wavelengths."""
        transformed_xvalues = xvalues - self.centre
        return (self.intensity / (self.sigma * (2.0 * np.pi) ** 0.5)) * np.exp(
            -0.5 * (transformed_xvalues / self.sigma) ** 2
        )


class LineAnalysis(Analysis):
    """A line in data of unknown noise."""

    def __init__(self, xvalues: np.ndarray, data: np.ndarray) -> None:
        self.xvalues = xvalues
        self.data = data

    def log_likelihood_function(self, instance: Any) -> Any:
        """Return the log likelihood of independent normal errors."""
        residuals = (self.data - instance.line.profile_from_xvalues(self.xvalues)) / instance.noise
        return np.sum(-0.5 * residuals**2 - np.log(instance.noise * ROOT_2PI))


def line_model() -> Collection:
    """Return the model of the demo: a Gaussian line, and the noise."""
    line = Model(Gaussian)
    line.centre = UniformPrior(lower_limit=400.0, upper_limit=500.0)
    line.intensity = UniformPrior(lower_limit=0.0, upper_limit=20.0)
    line.sigma = GaussianPrior(mean=10.0, sigma=10.0, lower_limit=0.0)
    return Collection(line=line, noise=LogUniformPrior(lower_limit=1e-4, upper_limit=1.0))


def run_demo(folder: Path, *, progress: bool | None = True) -> Result:
    """Fit, file, print and draw.

    Parameters
    ----------
    folder : pathlib.Path
        Where the catalogue and the pictures go.
    progress : bool, optional
        Whether to show the stages of the fit.
    """
    catalog = folder / "catalog.sqlite"
    print(
        "Fitting a Gaussian line to NIST's Eckerle4: 35 transmittances, 4 parameters, plain NumPy and NUTS."
    )
    search = NUTS(name="eckerle4", draws=2000, tune=1000, chains=2, random_seed=1, progress=progress)
    result = search.fit(
        line_model(),
        LineAnalysis(WAVELENGTH, TRANSMITTANCE),
        catalog=catalog,
        info={"source": "NIST Eckerle4"},
    )
    print()
    print(comparison_table(result))
    for notice in result.notices:
        print(f"Note: {notice}")
    pictures = {"fit.png": _plot_fit(result), "corner.png": result.plot_corner()}
    for name, figure in pictures.items():
        figure.savefig(folder / name, dpi=150)
    print()
    print(f"The catalogue   {catalog}")
    print(f"The fit's file  {_file_of(result, catalog)}")
    print(f"Data and fit    {folder / 'fit.png'}")
    print(f"Corner plot     {folder / 'corner.png'}")
    return result


def comparison_table(result: Result) -> str:
    """Return the posterior beside the certified values, as text."""
    table = result.summary()
    lines = [f"{'':16}{'posterior mean':>16}{'sd':>11}{'certified':>14}{'sd':>11}{'difference':>13}"]
    for name, (value, sd) in CERTIFIED.items():
        mean, spread = (float(table[column][name]) for column in ("mean", "sd"))
        label = f"{name} [{UNITS[name]}]" if UNITS[name] else name
        certified_sd = "" if sd is None else f"{sd:.6f}"
        difference = f"{(mean - value) / (sd or spread):+.2f} sd"
        lines.append(
            f"{label:18}{mean:>14.6f}{spread:>11.6f}{value:>14.6f}{certified_sd:>11}{difference:>13}"
        )
    return "\n".join(lines)


def _file_of(result: Result, catalog: Path) -> Path:
    from classy_pm.catalog import Catalog

    with Catalog(catalog) as store:
        found = store.find(result.identifier)
        assert found is not None
        return Path(found.path)


def _plot_fit(result: Result) -> Figure:
    """Draw the data, the posterior's profiles with their three sigma band, and the residuals."""
    from matplotlib.figure import Figure

    fine = np.linspace(WAVELENGTH[0], WAVELENGTH[-1], 501)
    samples = result.samples
    vectors = samples.parameter_lists[:: max(1, len(samples) // 500)]
    curves = np.array([samples.instance_from(vector).line.profile_from_xvalues(fine) for vector in vectors])
    median = samples.median_pdf_instance
    figure = Figure(figsize=(7.0, 5.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.fill_between(fine, *quantile_band(curves, 3.0), color="C0", alpha=0.3, label="posterior, 3 sigma")
    top.plot(fine, median.line.profile_from_xvalues(fine), color="C0", label="median")
    top.plot(WAVELENGTH, TRANSMITTANCE, "k.", label="NIST Eckerle4")
    top.set_ylabel("transmittance")
    top.legend(frameon=False)
    residuals = (TRANSMITTANCE - median.line.profile_from_xvalues(WAVELENGTH)) / median.noise
    bottom.axhline(0.0, color="C0")
    bottom.plot(WAVELENGTH, residuals, "k.")
    bottom.set(xlabel="wavelength [nm]", ylabel="residual / noise")
    return figure
