"""A population of supernovae of type Ia and the cosmology that they measure, in one fit.

Each light curve has a peak magnitude, a stretch and a colour, measured with their covariance. The true
stretch and colour are drawn from a population; the true magnitude is that of the standardised candle at the
distance of its redshift, with a scatter of its own. Supernovae in galaxies with Cepheids have a distance
already. Run it with the table of the Pantheon+ release, `PantheonPlusSH0ES.dat`:

    .venv/bin/python benchmarks/supernovae.py PantheonPlusSH0ES.dat

Tripp (1998), Astronomy and Astrophysics 331, 815; Rubin et al. (2015), ApJ 813, 137; Brout et al. (2022),
ApJ 938, 110.
"""

import argparse
import time
from pathlib import Path

import arviz as az
import numpy as np

import classy_pm as cpm

LIGHT = 299_792.458  # km/s
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
# km/s: peculiar velocities that are not corrected for.
VELOCITY = 250.0


class FlatLambdaCDM:
    """A flat universe of matter and a cosmological constant."""

    def __init__(self, hubble, matter):
        self.hubble, self.matter = hubble, matter

    def distance_modulus(self, redshift, heliocentric):
        """The luminosity distance in magnitudes, by Gauss and Legendre's quadrature."""
        nodes = 0.5 * redshift * (NODES + 1.0)
        expansion = np.sqrt(self.matter * (1.0 + nodes) ** 3 + 1.0 - self.matter)
        comoving = 0.5 * redshift * np.sum(WEIGHTS / expansion)
        distance = LIGHT / self.hubble * (1.0 + heliocentric) * comoving
        return 5.0 * np.log10(distance) + 25.0


class Candle:
    """How bright a supernova is, by its stretch, colour and host."""

    def __init__(self, magnitude, alpha, beta, step, scatter):
        self.magnitude, self.alpha, self.beta, self.step, self.scatter = magnitude, alpha, beta, step, scatter

    def peak(self, supernova, massive):
        step = self.step * (0.5 - massive)
        return self.magnitude - self.alpha * supernova.stretch + self.beta * supernova.colour + step


class Supernova:
    def __init__(self, stretch, colour):
        self.stretch, self.colour = stretch, colour


class LightCurve(cpm.Analysis):
    def __init__(self, measured, covariance, redshift, heliocentric, massive, distance_modulus):
        self.measured, self.covariance = measured, covariance
        self.redshift, self.heliocentric = redshift, heliocentric
        self.massive, self.distance_modulus = massive, distance_modulus

    def log_likelihood_function(self, instance):
        supernova, candle = instance.supernova, instance.candle
        distance = self.distance_modulus
        if distance is None:
            distance = instance.cosmology.distance_modulus(self.redshift, self.heliocentric)
        residuals = self.measured - np.array(
            [candle.peak(supernova, self.massive) + distance, supernova.stretch, supernova.colour]
        )
        covariance = self.covariance + np.diag(np.array([1.0, 0.0, 0.0])) * candle.scatter**2
        factor = np.linalg.cholesky(covariance)
        standard = np.linalg.solve(factor, residuals)
        return -0.5 * np.sum(standard**2) - np.sum(np.log(np.diag(factor)))


def read(path):
    """The table's columns by name."""
    names, *rows = [line.split() for line in Path(path).read_text().splitlines()]
    return {name: np.array([row[place] for row in rows]) for place, name in enumerate(names)}


def light_curves(table):
    """An analysis of each row."""
    column = {name: values.astype(float) for name, values in table.items() if name != "CID"}
    calibrator = column["IS_CALIBRATOR"] == 1
    # Of the amplitude x0 the magnitude is -2.5 log10(x0).
    slope = -2.5 / np.log(10.0) / column["x0"]
    for row in range(len(column["zHD"])):
        covariance = np.diag([column[name][row] ** 2 for name in ("mBERR", "x1ERR", "cERR")])
        covariance[0, 1] = covariance[1, 0] = slope[row] * column["COV_x1_x0"][row]
        covariance[0, 2] = covariance[2, 0] = slope[row] * column["COV_c_x0"][row]
        covariance[1, 2] = covariance[2, 1] = column["COV_x1_c"][row]
        redshift = column["zHD"][row]
        if np.linalg.eigvalsh(covariance)[0] <= 0.0:
            # In eight rows of the release the correlations are above one.
            covariance = np.diag(np.diag(covariance))
        if calibrator[row]:
            distance = float(column["CEPH_DIST"][row])
        else:
            distance = None
            covariance[0, 0] += (5.0 / np.log(10.0) * VELOCITY / LIGHT / redshift) ** 2
            covariance[0, 0] += (0.055 * redshift) ** 2  # lensing
        magnitude = column["mB"][row] - column["biasCor_m_b"][row]
        yield LightCurve(
            np.array([magnitude, column["x1"][row], column["c"][row]]),
            covariance,
            float(redshift),
            float(column["zHEL"][row]),
            float(column["HOST_LOGMASS"][row] > 10.0),
            distance,
        )


def make_graph(analyses):
    """One plate of supernovae in one universe."""
    cosmology = cpm.Model(
        FlatLambdaCDM, hubble=cpm.UniformPrior(50.0, 100.0), matter=cpm.UniformPrior(0.05, 0.95)
    )
    candle = cpm.Model(
        Candle,
        magnitude=cpm.GaussianPrior(-19.3, 0.5),
        alpha=cpm.GaussianPrior(0.14, 0.1),
        beta=cpm.GaussianPrior(3.0, 1.0),
        step=cpm.GaussianPrior(0.0, 0.1),
        scatter=cpm.HalfGaussianPrior(0.3),
    )
    stretch = cpm.GaussianPrior(0.0, 1.0), cpm.HalfGaussianPrior(2.0)
    colour = cpm.GaussianPrior(0.0, 0.3), cpm.HalfGaussianPrior(0.3)
    factors = []
    for analysis in analyses:
        supernova = cpm.Model(
            Supernova, stretch=cpm.GaussianPrior(*stretch), colour=cpm.GaussianPrior(*colour)
        )
        model = cpm.Collection(cosmology=cosmology, candle=candle, supernova=supernova)
        factors.append(cpm.AnalysisFactor(model, analysis))
    return cpm.FactorGraphModel(*factors)


def main(path, *, draws, tune, chains, cores, lowest):
    analyses = [
        analysis
        for analysis in light_curves(read(path))
        if analysis.distance_modulus is not None or analysis.redshift > lowest
    ]
    graph = make_graph(analyses)
    print(f"{len(analyses)} light curves, {graph.total_free_parameters} parameters")
    start = time.perf_counter()
    search = cpm.NUTS(draws=draws, tune=tune, chains=chains, number_of_cores=cores, random_seed=1)
    result = search.fit(graph)
    print(f"fitted in {time.perf_counter() - start:.0f} s")
    posterior = result.idata["posterior"].to_dataset()
    shared = [name for name, values in posterior.items() if values.dims == ("chain", "draw")]
    print(az.summary(posterior[shared], round_to=4)[["mean", "sd", "ess_bulk", "r_hat"]].to_string())
    print("divergences:", int(result.idata["sample_stats"]["diverging"].sum()))
    for name, shares in result.attributes["centring"].items():
        print(f"{name} is centred by {np.quantile(shares, [0.0, 0.5, 1.0])}")
    matter = posterior["cosmology.matter"]
    print(f"matter {float(matter.mean()):.3f} +- {float(matter.std()):.3f}; published 0.334 +- 0.018")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--tune", type=int, default=500)
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--lowest", type=float, default=0.0, help="redshift from which on, without Cepheids")
    given = vars(parser.parse_args())
    main(given.pop("path"), **given)
