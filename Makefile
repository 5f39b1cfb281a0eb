# Two commands: `make jest` runs everything on the embedded default, `make test` tests it. Both make .venv on first use.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := $(VENV)/.extras
# Three workers with one thread each, for two cores: a third of their time they wait for processes, disks and each other.
# Compiled modules are kept even where the environment says otherwise: workers and commands would compile them anew each time.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check

export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK := 1
export GX_ANALYTICS_ENABLED := false
export NO_MKDOCS_2_WARNING := 1

.PHONY: help install extras jest icons quick test test-core test-slow test-extras test-all lint format docs lock viz repro clean
.DEFAULT_GOAL := help

help:  ## show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

install: $(STAMP)  ## make .venv from requirements.lock

# The stamp comes last: an environment that was interrupted half-way, or is older than the lock file, is made anew.
$(STAMP): requirements.lock
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --requirement requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

extras: $(EXTRAS)  ## add what the optional extras need: Ray, Dask, S3, ONNX, trackers, the docs site

$(EXTRAS): $(STAMP) requirements-extras.lock
	$(PIP) install --requirement requirements-extras.lock
	@touch $@

jest: $(STAMP)  ## run JEST and uniform on the embedded default; ends with a table and the report's place
	$(BIN)/kedro run --pipeline=jest

icons: $(STAMP)  ## the same on a real pool: drawings of some 150 design teams, fetched by npm (conf/icons)
	$(BIN)/kedro run --pipeline=jest --env=icons

quick: $(STAMP)  ## the same chain in miniature, in a minute or two (conf/quick)
	$(BIN)/kedro run --pipeline=jest --env=quick

test: $(STAMP)  ## the tests
	$(PYTEST)

# A file of each room or so. The conftest.py of all tests starts servers for Kedro's commands: it is cut off.
CORE_TESTS := $(addprefix tests/,selection/test_oracle.py losses/test_losses.py models/test_models.py data/test_order.py \
	training/test_step.py training/test_records.py tasks/test_contrastive.py evaluation/test_zero_shot.py tracking/test_tracking.py)

test-core: $(STAMP)  ## the core with its own dependencies alone: no Kedro, DVC, Great Expectations, pydantic
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p tests.core_alone --confcutdir=tests/training $(CORE_TESTS)

test-slow: $(STAMP)  ## what takes longer, and needs no real data
	$(PYTEST) -m "slow and not real_data and not extras"

test-extras: $(EXTRAS)  ## what needs the optional extras
	$(PYTEST) -m "extras and not real_data"

test-all: $(EXTRAS)  ## the tests, with slow ones and those that need extras or real data
	$(PYTEST) -m ""

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(EXTRAS)  ## the documentation as a site, in site/
	$(BIN)/mkdocs build --strict --quiet

COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe

lock: $(STAMP)  ## renew the lock files from pyproject.toml; packages keep their versions where they can
	$(COMPILE) --extra=dev --output-file=requirements.lock pyproject.toml
	$(COMPILE) --all-extras --constraint=requirements.lock --output-file=requirements-extras.lock pyproject.toml
	# The options at their heads: where packages were fetched from is nobody's business.
	sed -i '/^--/,/^$$/d' requirements.lock requirements-extras.lock

viz: $(STAMP)  ## the pipelines and their figures in the browser
	$(BIN)/kedro viz run

repro: $(STAMP)  ## what DVC finds out of date
	$(BIN)/dvc repro

clean:  ## remove the environment; data/ stays
	rm -rf $(VENV)
