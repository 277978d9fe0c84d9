"""Chains that are run one by one, or each in a process, and kept as they finish.

What a chain draws depends on the seed and its number alone: not on how many cores there are, nor on
whether the fit was interrupted between two chains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from classy_pm.errors import SearchError
from classy_pm.search.checkpoint import NAN_COUNT, WITNESSED, WITNESSES, Chain, read_chain, write_chain
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report
from classy_pm.search.stale import chained_numbers, same_numbers

__all__ = ["run_chains"]

# What is kept with a chain, that its priors may be known again.
CHAINED_NUMBERS = "chained_numbers"

# What this process, as a worker, runs: what is compiled for one chain serves the next.
_here: list[tuple[Problem, Callable[[Problem, int], Chain]]] = []


def run_chains(
    problem: Problem,
    count: int,
    run: Callable[[Problem, int], Chain],
    *,
    threads: bool = False,
    on_chain: Callable[[int], None] = lambda finished: None,
) -> dict[str, np.ndarray]:
    """Run chains, those apart that an earlier run has finished.

    Parameters
    ----------
    problem : Problem
    count : int
    run : callable
        Runs the chain of a number. With several cores it is called in other processes, with a problem of
        their own: it must be picklable. A thread of its own that calls the likelihood tells it for which
        chain, by `LogLikelihood.count_for`.
    threads : bool
        Whether threads will do instead, where the chain is machine code.
    on_chain : callable
        Told how many chains are finished.

    Returns
    -------
    dict of numpy.ndarray, shape (chain, draw, ...)
        Of shape (chain,) what a chain gives as one number.
    """
    folder = problem.folder
    _ = problem.evaluate  # which forgets the chains of another likelihood
    nan_before = problem.log_likelihood.nan_count
    found = {number: _known(problem, number) for number in range(count)}
    missing = [number for number, chain in found.items() if chain is None]
    on_chain(count - len(missing))
    for number, chain in _run_all(problem, missing, run, threads):
        found[number] = chain
        if problem.report.elapsed > problem.checkpoint_interval:
            write_chain(folder, number, chain | _witnesses(problem, chain))
        on_chain(sum(item is not None for item in found.values()))
    chains = [chain for _, chain in sorted(found.items()) if chain is not None]
    # The same wherever they ran, and whenever.
    problem.log_likelihood.nan_count = nan_before + sum(int(chain.pop(NAN_COUNT)) for chain in chains)
    return {key: np.stack([chain[key] for chain in chains]) for key in chains[0]}


def _known(problem: Problem, number: int) -> Chain | None:
    """Return a chain of an earlier run."""
    chain = read_chain(problem.folder, number)
    if chain is None:
        return None
    for name in (WITNESSES, WITNESSED):
        del chain[name]
    if not same_numbers(chain.pop(CHAINED_NUMBERS, []), _chained(problem)):
        return None  # a fit that the priors are made of has been run again
    problem.report.say(f"An earlier run was interrupted: chain {number} is known.", at_once=True)
    return chain


def _witnesses(problem: Problem, chain: Chain) -> Chain:
    """Return the log likelihood at both ends of a chain, and at a few draws of the prior."""
    ends, (vectors, values) = chain["vectors"][[0, -1]], problem.at_prior
    return {
        CHAINED_NUMBERS: _chained(problem),
        WITNESSES: np.concatenate([ends, vectors]),
        WITNESSED: np.concatenate([problem.log_likelihood.values(ends), values]),
    }


def _chained(problem: Problem) -> np.ndarray:
    """Return the numbers of the priors that are made of other fits' posteriors."""
    return np.array([number for numbers in chained_numbers(problem.plan).values() for number in numbers])


def _run(problem: Problem, run: Callable[[Problem, int], Chain], number: int) -> Chain:
    """Run a chain, and count how often the log likelihood was NaN in it."""
    log_likelihood = problem.log_likelihood
    before = log_likelihood.nan_count_of(number)
    log_likelihood.count_for(number)
    try:
        chain = run(problem, number)
    finally:
        log_likelihood.count_for(None)
    return {**chain, NAN_COUNT: np.array(log_likelihood.nan_count_of(number) - before)}


def _run_all(
    problem: Problem, numbers: list[int], run: Callable[[Problem, int], Chain], threads: bool
) -> Iterator[tuple[int, Chain]]:
    cores = min(problem.cores, len(numbers))
    if cores < 2:
        for number in numbers:
            yield number, _run(problem, run, number)
    elif threads:
        with ThreadPoolExecutor(cores) as pool:
            started = {pool.submit(_run, problem, run, number): number for number in numbers}
            for future in as_completed(started):
                yield started[future], future.result()
    else:
        yield from _run_in_processes(problem, numbers, run, cores)


def _run_in_processes(
    problem: Problem, numbers: list[int], run: Callable[[Problem, int], Chain], cores: int
) -> Iterator[tuple[int, Chain]]:
    from loky import ProcessPoolExecutor
    from loky.process_executor import BrokenProcessPool

    pool = ProcessPoolExecutor(cores, initializer=_start, initargs=(problem.for_another_process(), run))
    try:
        started = {pool.submit(_run_here, number): number for number in numbers}
        for future in as_completed(started):
            yield started[future], future.result()
    except BrokenProcessPool as error:
        raise SearchError(f"A process that ran a chain died: {error}", cure="Use fewer cores.") from error
    finally:
        pool.shutdown(kill_workers=True)


def _start(arguments: dict[str, Any], run: Callable[[Problem, int], Chain]) -> None:
    threadpool_limits(1, "blas")
    _here[:] = [(Problem(**arguments, report=Report(False)), run)]


def _run_here(number: int) -> Chain:
    ((problem, run),) = _here
    return _run(problem, run, number)
