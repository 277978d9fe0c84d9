"""How long NUTS waits for machine code, in a process of its own with an empty cache and with a full one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Seconds of the processor.
GOALS = {
    "cold": {"trace and proof": 2.0, "compile": 10.0},
    "cached": {"trace and proof": 2.0, "compile": 2.0},
}


def run(name, cache):
    environment = os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={cache}", "NUMBA_CACHE_DIR": str(cache)}
    script = str(Path(__file__).with_name("compile_once.py"))
    done = subprocess.run([sys.executable, script, name], env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("state", GOALS)
@pytest.mark.parametrize("name", ["lens", "lens of galaxies"])
def test_compile(name, state, benchmark, tmp_path):
    benchmark.group = f"compile the {name}"
    first = run(name, tmp_path) if state == "cached" else None
    took = benchmark.pedantic(run, (name, tmp_path), rounds=1)
    for what, goal in GOALS[state].items():
        benchmark.extra_info |= {what: took[what], f"{what}, goal": goal}
        print(f"\n{name}, {state}: {what} {took[what]:.2f} s")
        assert took[what] <= goal
    # To read machine code from the cache must not change a digit.
    assert first is None or (first["value"], first["gradient"]) == (took["value"], took["gradient"])
