"""Run by `bench_compile.py`: trace, prove and compile one model, and say what that took."""

import json
import sys
import time

import nutpie  # noqa: F401 - to import it is not compiling
from lens import make_galaxies, make_lens

from classy_pm.graph import build_model
from classy_pm.likelihood import make_symbolic
from classy_pm.plan import make_plan
from classy_pm.search.nutpie_native import compile_natively

model, analysis = {"lens": make_lens, "lens of galaxies": make_galaxies}[sys.argv[1]]()
plan = make_plan(model)
clock = time.process_time  # what an idle machine would take; here other processes may run too
start = clock()
symbolic = make_symbolic(plan, analysis, "trace")
traced = clock()
pymc_model = build_model(plan, symbolic)
compiled = compile_natively(pymc_model, list(plan.names))
done = clock()
value, gradient = compiled.logp_func([0.1] * compiled.n_dim)
result = {"trace and proof": traced - start, "compile": done - traced, "value": value.hex()}
json.dump(result | {"gradient": [slope.hex() for slope in gradient.tolist()]}, sys.stdout)
