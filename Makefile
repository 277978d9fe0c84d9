# `make demo` and `make test` do all the set-up themselves, on a machine with make and Python 3.8 or newer.
#
# uv is used where it is on the PATH and is otherwise put into .tools/. It finds Python 3.12 or newer, or
# fetches it, and makes .venv: with the package's dependencies for the demo, with the developers' tools
# for everything else. A stamp in .venv says that this is done. `make clean-all` forgets it all.

PYTHON  ?= >=3.12,<3.15
PYTHON3 ?= python3
ARGS    ?=

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test test-slow lint format docs bench clean clean-all

# Settings of the user's own environments and of their pip, none of which are meant for this one.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX
# Without bytecode each of the many processes of the tests compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE
export PIP_CONSTRAINT = /dev/null
export PIP_USER = 0
export PIP_REQUIRE_VIRTUALENV = 0
export PIP_DISABLE_PIP_VERSION_CHECK = 1

BIN := .venv/bin
RUN := .venv/.ready-to-run
DEV := .venv/.ready-to-develop

# A uv too old to install dependency groups is as good as none.
ifneq ($(findstring --group,$(shell uv pip install --help 2>/dev/null)),)
UV := uv
else
UV := .tools/uv/bin/uv
UV_FILE := $(UV)
endif

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  ARGS="..." goes on to pytest; PYTHON=3.13 or PYTHON=/path/to/python chooses the Python of .venv.'

demo: $(RUN) ## fit a Gaussian to measured data, and file and draw the fit in classy_pm_demo/
	$(BIN)/classy-pm demo

# The processes of the tests share the cores among them.
test test-slow: export OMP_NUM_THREADS = 1
test test-slow: export OPENBLAS_NUM_THREADS = 1

test: $(DEV) ## run the tests, on two cores; with ARGS on one
	$(BIN)/python -m pytest $(or $(ARGS),-n 2 --dist loadfile)

test-slow: $(DEV) ## run the tests that `make test` leaves out, because each takes long
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

lint: $(DEV) ## check style, types and the floors of the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## put the code in ruff's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV) ## build the documentation, warnings being errors
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "The pages are in docs/_build/html."

bench: $(DEV) ## run the benchmarks
	$(BIN)/python -m pytest $(if $(findstring benchmarks/,$(ARGS)),,benchmarks) $(ARGS)

clean: ## remove what the tools leave behind
	rm -rf build dist docs/_build docs/reference/generated .benchmarks .hypothesis .import_linter_cache \
	    .mypy_cache .pytest_cache .ruff_cache
	find . \( -name .venv -o -name .tools -o -name .git \) -prune -o -name __pycache__ -prune -exec rm -rf {} +

clean-all: clean ## remove .venv and .tools too, so that the next target sets up anew
	rm -rf .venv .tools

# --- set-up -----------------------------------------------------------------------------------

# pyenv hides the versions that are not activated, so their folders go to the end of the PATH.
$(RUN): pyproject.toml | $(UV_FILE)
	@for folder in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[2-9]*/bin; do PATH="$$PATH:$$folder"; done; \
	export PATH; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
	    rm -rf .venv; \
	    $(UV) venv --python '$(PYTHON)' .venv || { \
	        echo "No Python $(PYTHON) was found here, and none could be fetched. Install one," >&2; \
	        echo "or name one that is not on the PATH: make PYTHON=/path/to/python3.12 ..." >&2; \
	        exit 1; }; \
	fi
	@echo "Installing classy_pm and what it needs into .venv/ (a minute or so the first time)"
	@$(UV) pip install --quiet --python $(BIN)/python --editable .
	@touch $@

$(DEV): $(RUN)
	@echo "Installing the developers' tools into .venv/"
	@$(UV) pip install --quiet --python $(BIN)/python --editable . --group dev
	@touch $@

# A virtual environment keeps the machine's pip settings out; where Python comes without the parts to
# make one, as on Debian, its pip will do.
.tools/uv/bin/uv:
	@echo "uv is not on the PATH: putting it into .tools/"
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 8))' || { \
	    echo "This needs Python 3.8 or newer as $(PYTHON3), or uv on the PATH." >&2; exit 1; }
	@rm -rf .tools/uv; mkdir -p .tools
	@{ $(PYTHON3) -m venv .tools/uv >/dev/null 2>&1 && \
	    { .tools/uv/bin/python -m pip install --quiet --only-binary :all: 'uv>=0.8' 2>/dev/null || \
	      { .tools/uv/bin/python -m pip install --quiet --upgrade pip && \
	        .tools/uv/bin/python -m pip install --quiet --only-binary :all: 'uv>=0.8'; }; }; } || \
	{ rm -rf .tools/uv && \
	    $(PYTHON3) -m pip install --quiet --only-binary :all: --target .tools/uv 'uv>=0.8'; } || { \
	    rm -rf .tools/uv; \
	    echo "uv could not be installed. Put uv on the PATH, or give $(PYTHON3) the modules venv or pip." >&2; \
	    exit 1; }
	@test -x $@
