"""`compare`: many models of one data set, by evidence and by cross-validation side by side."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from classy_pm.errors import ClassyError, Faults
from classy_pm.likelihood.calls import checked_call
from classy_pm.likelihood.warn import warn
from classy_pm.result import tree as trees
from classy_pm.result.result import Result

if TYPE_CHECKING:
    from classy_pm.result.table import ComparisonTable

__all__ = ["compare"]

NAN = float("nan")

RIGHT = 'Write compare({"one line": first_result, "two lines": second_result}).'


@checked_call(RIGHT)
def compare(results: Mapping[str, Result]) -> ComparisonTable:
    """Compare fits of several models to the same data.

    Parameters
    ----------
    results : dict of str to Result

    Returns
    -------
    pandas.DataFrame
        A row a fit, the best first: by evidence where all have one, else by LOO, else by the maximum log
        likelihood. NaN where a fit does not have the quantity.

        - ``log_evidence``, ``log_evidence_error``; ``log_bayes_factor`` to the fit with the greatest
          evidence, with the error of the difference: both are independent.
        - ``elpd_loo``, ``elpd_loo_se``, ``p_loo``; ``elpd_diff`` to the best, with its standard error, in
          which data count in pairs; ``weight`` of stacking; ``bad_k``, at how many data Pareto's k is so
          large that the estimate cannot be trusted.
        - ``max_log_likelihood`` and ``free_parameters``.

    Raises
    ------
    ClassyError
        If the fits are not of the same data, or have neither evidence nor LOO in common; those which are
        in the way are named.

    Notes
    -----
    With finitely many draws ``elpd_loo`` has a Monte Carlo error; a difference within two of it is warned of,
    as other draws would give another one, and other weights. The error is by the delta method for the sum
    over the data, which share the draws; for one datum it is that of Vehtari, Gelman and Gabry (2017),
    Statistics and Computing 27, 1413.

    Stacking: Yao et al. (2018), Bayesian Analysis 13, 917. A constant that is left out of one likelihood
    and not of the other shifts evidence and LOO alike.

    Examples
    --------
    >>> compare({"one line": first, "two lines": second})  # doctest: +SKIP
    """
    from classy_pm.result.table import ComparisonTable

    _check_results(results)
    results = dict(results)
    elpds = {name: _loo(result) for name, result in results.items() if result._why_no_loo() is None}
    evidences = [name for name, result in results.items() if result.log_evidence is not None]
    if max(len(evidences), len(elpds)) < 2:
        raise ClassyError(
            "There is nothing to compare: no two of the fits have an evidence, or pointwise log likelihoods.",
            [f"{name}: {_what_is_missing(result)}" for name, result in results.items()],
            cure="Fit with Nautilus() or SMC() for evidences, with NUTS() for LOO.",
        )
    _check_terms(elpds)
    best = max((_number(results[name].log_evidence), name) for name in evidences)[1] if evidences else None
    leave_one_out = _compared(elpds)
    _warn_of_close(elpds, {name: _monte_carlo_error(results[name], elpds[name]) for name in elpds})
    rows = {}
    for name, result in results.items():
        evidence, error = _number(result.log_evidence), _number(result.log_evidence_error)
        rows[name] = {
            "log_evidence": evidence,
            "log_evidence_error": error,
            **_bayes_factor(result, None if best is None else results[best]),
            **leave_one_out.get(name, dict.fromkeys(_LOO, NAN)),
            "max_log_likelihood": result.samples.max_log_likelihood,
            "free_parameters": float(len(result.samples.names)),
        }
    for column in ("log_evidence", "elpd_loo", "max_log_likelihood"):
        if not any(np.isnan(row[column]) for row in rows.values()):
            rows = dict(sorted(rows.items(), key=lambda item: -item[1][column]))
            break
    return ComparisonTable.from_rows(rows)


def _check_results(results: Mapping[str, Result]) -> None:
    """Refuse what is no result, and fits of different data."""
    if not isinstance(results, Mapping):
        what = "Fits without names" if isinstance(results, Iterable) else "A single fit"
        if not isinstance(results, Iterable | Result):
            what = repr(results)
        raise ClassyError(f"{what} cannot be compared.", cure=RIGHT)
    faults = Faults()
    for name, result in results.items():
        if not isinstance(result, Result):
            faults.add(str(name), f"is {result!r}, not a Result")
    faults.raise_as(ClassyError, "Only fits can be compared.", cure=RIGHT)
    if len(results) < 2:
        raise ClassyError(f"{len(results)} fits were given; two or more can be compared.", cure=RIGHT)
    hashes = {name: result.attributes.get("data_hash") for name, result in results.items()}
    unknown = [name for name, value in hashes.items() if not value]
    if unknown:
        raise ClassyError(
            f"Of `{unknown[0]}` it is not known which data were fitted.",
            cure="Fit it again, with `search.fit`.",
        )
    groups: dict[Any, list[str]] = {}
    for name, value in hashes.items():
        groups.setdefault(value, []).append(name)
    if len(groups) > 1:
        raise ClassyError(
            "The fits are not of the same data; evidence and LOO compare models of one data set.",
            [f"{', '.join(names)}: data {str(value)[:12]}" for value, names in groups.items()],
            cure="Fit all models to one analysis. Settings among its attributes count as data.",
        )


def _check_terms(elpds: dict[str, Any]) -> None:
    counts = {name: elpd.n_data_points for name, elpd in elpds.items()}
    if len(set(counts.values())) > 1:
        raise ClassyError(
            "The log likelihoods have different numbers of terms, so that LOO leaves out different data.",
            [f"{name}: {count} terms" for name, count in counts.items()],
            cure="Give the same terms with log_likelihood_pointwise(self, instance) in each analysis.",
        )


def _what_is_missing(result: Result) -> str:
    reason = result._why_no_loo()
    evidence = "has an evidence" if result.log_evidence is not None else "no evidence"
    return f"{evidence}; {f'no LOO: {reason[0]}' if reason else 'has LOO'}"


def _loo(result: Result) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # large Pareto k: they are counted in the table
        return result.loo()


def _warn_of_close(elpds: dict[str, Any], errors: dict[str, float]) -> None:
    """Say which fits cannot be told from the best with so few draws."""
    if len(elpds) < 2:
        return
    best = max(elpds, key=lambda name: float(elpds[name].elpd))
    close = [
        f"`{name}` ({difference:.2g} +- {error:.2g})"
        for name, elpd in elpds.items()
        if name != best
        and (difference := float(elpds[best].elpd - elpd.elpd))
        <= 2.0 * (error := np.hypot(errors[name], errors[best]))
    ]
    if close:
        warn(
            f"elpd_loo of {', '.join(close)} differs from that of `{best}` by no more than twice its Monte "
            "Carlo error: with other draws the order and the weights may be others. Draw more.",
            UserWarning,
        )


def _monte_carlo_error(result: Result, elpd: Any) -> float:
    """Return how far LOO's estimate may be off because the draws are finitely many."""
    import arviz_stats

    terms = trees.pointwise_of(result.idata)
    assert terms is not None
    if not np.all(elpd.pareto_k.values <= elpd.good_k):
        return NAN
    weights = elpd.log_weights.transpose(*terms.dims).values
    weights = np.exp(weights - logsumexp(weights, axis=(0, 1)))
    # How each draw moves the sum over the data of log(sum of weight * likelihood), to first order.
    moves = np.sum(weights * np.expm1(terms.values - elpd.elpd_i.values), axis=-1)
    return float(arviz_stats.mcse(moves * moves.size))


_LOO = ("elpd_loo", "elpd_loo_se", "elpd_diff", "elpd_diff_se", "p_loo", "weight", "bad_k")


def _compared(elpds: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return LOO's columns; differences and weights where there are two fits or more."""
    rows = {
        name: {
            **dict.fromkeys(_LOO, NAN),
            "elpd_loo": float(elpd.elpd),
            "elpd_loo_se": float(elpd.se),
            "p_loo": float(elpd.p),
            # Where k cannot be computed at all it is NaN, and that is no good sign.
            "bad_k": float(np.sum(~(elpd.pareto_k.values <= elpd.good_k))),
        }
        for name, elpd in elpds.items()
    }
    if len(elpds) > 1:
        import arviz_stats

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            table = arviz_stats.compare(elpds, method="stacking", round_to="none")
        for name, row in rows.items():
            # ArviZ gives how much worse a model is; a difference to the best is not above zero.
            row["elpd_diff"] = 0.0 - abs(float(table.loc[name, "elpd_diff"]))
            row["elpd_diff_se"] = float(table.loc[name, "dse"])
            row["weight"] = float(table.loc[name, "weight"])
    return rows


def _bayes_factor(result: Result, best: Result | None) -> dict[str, float]:
    """Return the log Bayes factor of a fit to the best, with its error."""
    names = ("log_bayes_factor", "log_bayes_factor_error")
    if best is None or result.log_evidence is None:
        return dict.fromkeys(names, NAN)
    if result is best:
        return dict.fromkeys(names, 0.0)
    error = np.hypot(_number(result.log_evidence_error), _number(best.log_evidence_error))
    return dict(zip(names, (result.log_evidence - _number(best.log_evidence), float(error)), strict=True))


def _number(value: float | None) -> float:
    return NAN if value is None else float(value)
