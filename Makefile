# Every target sets up what it needs: the first one that runs makes .venv from the hashed lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DAGSTER_HOME ?= $(CURDIR)/.dagster_home
export DAGSTER_DISABLE_TELEMETRY := yes
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(BIN):$(PATH)

RUNTIME := $(VENV)/runtime.stamp
DEV := $(VENV)/dev.stamp
# What is compiled when the project is installed.
NATIVE := hatch_build.py $(wildcard dataset_export/encoding/native/*.[ch])
# A worker for each core, with test servers of its own; the default suite has one more, because many of its tests wait.
PARALLEL := -n auto --dist worksteal
ONE_MORE := -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist worksteal

.PHONY: demo ui test servers test-slow soak soak-short test-failed check check-assets bench bench-destinations bench-planning bench-rewrites format lock clean help

help: ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(RUNTIME) ## Build a demo lake, export it to a local folder, verify it.
	$(BIN)/dataset-export demo

ui: $(RUNTIME) $(DAGSTER_HOME)/dagster.yaml ## The Dagster UI and daemon on http://127.0.0.1:3000, over what the demo left.
	DAGSTER_HOME=$(DAGSTER_HOME) $(BIN)/dagster dev --workspace workspace.yaml --host 127.0.0.1 --port 3000

test: $(DEV) ## The default test suite, on real servers (under 10 minutes on 2 cores).
	$(BIN)/python -m pytest $(ONE_MORE)

servers: $(DEV) ## Install the servers that the tests run against.

test-slow: $(DEV) ## The slower tests.
	$(BIN)/python -m pytest -m slow $(PARALLEL)

test-failed: $(DEV) ## What failed in the last run of tests, slower ones too, once more and one at a time.
	$(BIN)/python -m pytest -m "slow or not slow" --last-failed --last-failed-no-failures none

soak: $(DEV) ## A simulated quarter of twelve dataflows in fast time: about an hour.
	$(BIN)/python -m dataset_export_tests.soak --days 90

soak-short: $(DEV) ## The same for a week, in which everything happens once: some minutes.
	$(BIN)/python -m dataset_export_tests.soak --days 7

check: $(DEV) ## Format, lint, types, layers, definitions.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/dg check toml
	$(BIN)/dg check defs

check-assets: $(DEV) ## Materialize the demo dataflows and run their asset checks; fails when a check fails.
	$(BIN)/python -m dataset_export_tests.check_assets

bench: $(DEV) ## Compare staging with Spark, DuckDB, polars and others in one run (about 25 minutes).
	$(BIN)/python -m benchmarks.staging

bench-destinations: $(DEV) ## Compare uploads to every kind of destination with the best other clients.
	$(BIN)/python -m benchmarks.destinations

bench-planning: $(DEV) ## Measure planning of tables of 1,000 versions and 100,000 files (about a minute).
	$(BIN)/python -m benchmarks.planning

bench-rewrites: $(DEV) ## Measure increments of tables of 100 M rows that were rewritten (about five minutes, 7 GB of disk).
	$(BIN)/python -m benchmarks.rewrites

format: $(DEV) ## Format and fix what can be fixed.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Versions and hashes only: whoever installs chooses the index.
lock: ## Pin all dependencies anew.
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install -qq uv
	$(VENV)/lock/bin/uv pip compile $(LOCK) --extra demo --extra build -o requirements/runtime.lock pyproject.toml
	$(VENV)/lock/bin/uv pip compile $(LOCK) --extra dev -c requirements/runtime.lock -o requirements/dev.lock pyproject.toml
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --strip-extras --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock"

clean: ## Remove everything that targets made, .venv included.
	rm -rf $(VENV) .demo .bench .dagster_home .pytest_cache .hypothesis .ruff_cache .import_linter_cache *.egg-info dataset_export/encoding/*.so

$(DAGSTER_HOME)/dagster.yaml: dagster.yaml
	mkdir -p $(DAGSTER_HOME)
	cp dagster.yaml $(DAGSTER_HOME)/

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

# The lock is the whole set, so pip resolves nothing: a release made after the lock cannot change or break an installation.
$(RUNTIME): $(VENV)/bin/python requirements/runtime.lock pyproject.toml $(NATIVE)
	@test -e $(DEV) || echo "installing the locked dependencies into $(VENV) (about a minute)"
	@test -e $(DEV) || $(BIN)/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements/runtime.lock
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(VENV)/bin/python requirements/dev.lock pyproject.toml $(NATIVE)
	@echo "installing the locked development dependencies into $(VENV) (a few minutes)"
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m dataset_export_tests.servers.azurite
	@dataset_export_tests/servers/install.sh
	@touch $@ $(RUNTIME)
