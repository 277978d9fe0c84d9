"""Fit the hierarchy of lines of `compile_graph_once.py` to its end, and print what it took.

    .venv/bin/python benchmarks/fit_lines.py NUTS 10000

The other searches are ADVI and Pathfinder; "minibatch" after the number has them look at a hundredth of the
data sets. The parent was made with the mean 50 and the standard deviation 10.
"""

import argparse
import time

from compile_graph_once import make_graph

import classy_pm as cpm


def make_search(name, minibatch):
    if name == "NUTS":
        return cpm.NUTS(draws=300, tune=400, chains=2, random_seed=1)
    return getattr(cpm, name)(random_seed=1, minibatch=minibatch)


def main(name, count, minibatch):
    graph = make_graph(count)
    start, processor = time.perf_counter(), time.process_time()
    result = make_search(name, max(20, count // 100) if minibatch else None).fit(graph)
    took = time.perf_counter() - start, time.process_time() - processor
    print(f"{name} of {count} data sets: {took[0]:.0f} s, {took[1]:.0f} s of the processor")
    for parent in ("gaussian.centre.mean", "gaussian.centre.sigma"):
        draws = result.idata["posterior"][parent]
        print(f"{parent} {float(draws.mean()):.3f} +- {float(draws.std()):.3f}")
    print(f"Pareto k: {result.attributes.get('pareto_k')}")
    for notice in result.notices:
        print(f"Note: {notice:.300}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("search", choices=["NUTS", "ADVI", "Pathfinder"])
    parser.add_argument("count", type=int)
    parser.add_argument("minibatch", nargs="?", choices=["minibatch"])
    given = parser.parse_args()
    main(given.search, given.count, bool(given.minibatch))
