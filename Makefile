# make demo · make test · make figures · make docs · make bench · make gpu-check · make lint — each sets itself up on a fresh machine.
# VENV=path reuses an environment (the package is installed into it, editable).
VENV ?= .venv
PYTHON ?= python3
DATA_ROOT ?= data
# A process for each core, each with one thread; a file's tests stay together, and so do what they share.
PARALLEL := -n auto --maxprocesses 8 --dist loadfile
BIN := $(VENV)/bin
STAMP := $(VENV)/.ppl_vae-$(shell printf %s "$(CURDIR)" | cksum | cut -d' ' -f1)

.PHONY: setup demo figures docs test test-all test-wheel bench gpu-check lint format clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## create $(VENV) and install the package into it

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("ppl_vae needs Python 3.11 or newer; name one: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: setup ## train a VAE on the embedded digits and draw what it learned
	$(BIN)/ppl-vae train --data digits --latent-dim 2 --epochs 300

figures: setup ## every picture of README and docs, about ten minutes; NAMES="grid.png film.gif" for some, DATA_ROOT=folder of MNIST
	$(BIN)/python docs/pictures/make.py --data-root $(DATA_ROOT) $(NAMES)

docs: setup ## the site, README, pages, notebooks and reference, into build/site; a warning is an error
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,docs]'
	$(BIN)/python -m sphinx -W --keep-going --quiet -c docs/site -b html . build/site

test: setup ## the tests, without the slow ones
	$(BIN)/python -m pytest $(PARALLEL)

test-all: setup ## every test
	$(BIN)/python -m pytest $(PARALLEL) -m ""

test-wheel: setup ## build the wheel, install it elsewhere, run the tests against it
	$(BIN)/python tests/run_on_wheel.py $(PARALLEL)

bench: setup ## speed beside Pyro, PyTorch by hand and NumPyro; BENCH="--only steps" for flags
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/ppl-vae bench $(BENCH)

gpu-check: setup ## on a GPU: tests, speed, precision and a short training, 20 minutes, into benchmarks/RESULTS.md
	$(BIN)/python benchmarks/gpu_check.py --install --data-root $(DATA_ROOT) $(GPU_CHECK)

lint: setup ## ruff, its formatter and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## let ruff format and mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and build outputs (runs/ stays)
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
