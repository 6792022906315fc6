# Everything a newcomer needs: `make demo` shows it, `make test` proves it, `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
ONLY ?=

.PHONY: help setup demo down clean check format lint types imports sql unit test bench lock schema

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: .venv/.ready  ## Make .venv from the lock (every other target does this by itself)

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Kundresa needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) -V). Use: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up .venv from requirements.lock"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@awk '/^uv==/{on=1} on&&/^[^ ]/&&!/^uv==/{exit} on' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@# Compiled now: every task and command is a process of its own, and would import half a second to two slower
	@# wherever Python may not write beside its sources.
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python -m compileall -q plugins
	@touch $@

demo: setup  ## Sample shop, real Airflow, two campaigns, the account (ARGS="--exit --people 5000")
	@$(BIN)/python -m kundresa.demo up $(ARGS)

down: setup  ## Stop what a demo left running
	@$(BIN)/python -m kundresa.demo down

clean:  ## Stop the demo and remove its state and all build output
	@if [ -x $(BIN)/kundresa ]; then $(BIN)/python -m kundresa.demo down; fi
	rm -rf build dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache .hypothesis

check: format lint types imports sql unit  ## The fast loop: format, lint, types, import contracts, unit tests

format: setup
	@$(BIN)/ruff format --check plugins dags tests

lint: setup
	@$(BIN)/ruff check plugins dags tests
	@$(BIN)/yamllint --strict .

types: setup
	@$(BIN)/mypy

imports: setup
	@$(BIN)/lint-imports

sql: setup
	@$(BIN)/sqlfluff lint --disable-progress-bar dbt_project

unit: setup
	@$(BIN)/pytest tests/unit -n 2 -q

test: setup  ## Everything that CI runs: the checks and every test
	@tests/system_packages.sh
	@$(MAKE) --no-print-directory format lint types imports sql
	@$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 40 $(ARGS)

bench: setup  ## Measure (ONLY=name for one); prints tables, appends to build/bench.jsonl; fails for a missed aim
	@$(BIN)/python tests/benchmarks/run.py $(if $(ONLY),--only $(ONLY)) $(ARGS)

lock: setup  ## Resolve requirements.lock and docker/requirements.lock anew
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --generate-hashes --universal \
		--python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" --upgrade --quiet -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml docker/production.in --extra postgres --extra celery --generate-hashes --universal \
		--python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" --quiet -c requirements.lock -o docker/requirements.lock

schema: setup  ## Write the JSON Schemas of the specs for editors
	@$(BIN)/python -m kundresa.spec.schema --write
