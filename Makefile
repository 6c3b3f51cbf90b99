# Each target prepares what it needs in .venv. It only takes Python 3.11 or newer and g++.
# Lock files: make lock

PYTHON ?= python3.11
JOBS ?= $(shell nproc)
BIN := .venv/bin
SIM_READY := .venv/.ready-sim
DEV_READY := .venv/.ready-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps

export PYTHONPATH := $(CURDIR)
export ISTHMUS_JOBS ?= $(JOBS)

.DEFAULT_GOAL := help
.PHONY: help sim test test-full bench networks fuzz lint docs lock clean

help:  ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

sim: $(SIM_READY)  ## Compile and run the examples on the RTL, compare with golden and JAX.
	$(BIN)/python -m examples.run

test: $(DEV_READY)  ## Lint, type check, and run the tests: a few minutes.
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n $(JOBS)

test-full: $(DEV_READY)  ## All tests, including the long ones.
	$(BIN)/pytest -n $(JOBS) -m ""

bench: $(SIM_READY)  ## Measure what the README reports.
	$(BIN)/python -m benchmarks

networks: $(DEV_READY)  ## Measure whole networks on the RTL: hours. NAMES="vit_tiny ..." for some.
	$(BIN)/python -m benchmarks.networks $(NAMES) --rtl --fusion --save

fuzz: $(DEV_READY)  ## 10,000 random programs, golden against RTL, and 10,000 damaged ones.
	$(BIN)/python -m verif.fuzz

lint: $(DEV_READY)  ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(SIM_READY)  ## Regenerate docs/isa.md from the instruction classes.
	$(BIN)/python -m hw.isa.manual > docs/isa.md

lock: $(BIN)/python  ## Renew the lock files after a change of pyproject.toml.
	$(PIP) uv
	$(BIN)/uv pip compile pyproject.toml $(LOCK_FLAGS) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev $(LOCK_FLAGS) -o requirements-dev.lock

LOCK_FLAGS := --generate-hashes --python-version 3.11 --no-header --no-annotate --quiet

clean:  ## Remove builds; the environment stays.
	rm -rf .cache .mypy_cache .ruff_cache

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) not found: install it (Debian: apt install python3 python3-venv)," \
	       "or say make PYTHON=..." >&2; exit 1; }
	@command -v g++ >/dev/null || { \
	  echo "g++ not found: install it (Debian: apt install g++)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(SIM_READY): requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) -e .
	@touch $@

$(DEV_READY): requirements-dev.lock $(SIM_READY)
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
