PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
MINUTES ?= 60
# WORKERS=2 runs the tests in two processes, each with a PostgreSQL and a Kafka of its own: about half the time.
WORKERS ?= 1
TESTS := $(BIN)/python -m pytest $(if $(filter-out 1,$(WORKERS)),-n $(WORKERS) --dist loadfile)

.DEFAULT_GOAL := help
.PHONY: help run test test-fast test-long check chaos fuzz bench bench-delivery bench-criteria bench-dashboard bench-projections bench-volunteers bench-sealing lock schemas annual-report sbom audit clean

help:  ## Says what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.venv/.run: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the locked packages …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.run
	@echo "installing the locked tools …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

run: .venv/.run  ## The whole system on this machine, with a demonstration
	@$(BIN)/zoeklicht run --demo $(ARGS)

test: .venv/.dev  ## Every test, on a real PostgreSQL and a real Apache Kafka
	@$(TESTS) $(ARGS)

test-fast: .venv/.dev  ## The unit tests alone
	@$(BIN)/python -m pytest tests/unit $(ARGS)

test-long: .venv/.dev  ## The tests that take minutes, too
	@$(TESTS) -m "long or not long" $(ARGS)

check: .venv/.dev  ## Lint, format, types, import rules, schema drift
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m schemas.generate --check

chaos: .venv/.dev  ## The storm of the chaos tests for longer: MINUTES=60, with CHAOS_SEED=n another one
	@CHAOS_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/chaos/test_chaos.py -k nothing_is_lost $(ARGS)

fuzz: .venv/.dev  ## Hostile input for every parser that meets the outside: FACTOR=100 times as much as in the tests, other at each run
	@FUZZ_FACTOR=$(or $(FACTOR),20) $(BIN)/python -m pytest tests/unit/test_hostile_input.py $(ARGS)

bench: .venv/.dev  ## Measure on this machine; the last result stays in bench/results
	@$(BIN)/python bench/way.py $(ARGS)

bench-criteria: .venv/.dev  ## Measure criteria: against the ceiling, memory, length of history
	@$(BIN)/python bench/criteria.py $(ARGS)

bench-projections: .venv/.dev  ## Measure read models; ARGS=--full for 1,000,000 events and 3,500,000 cases
	@$(BIN)/python bench/projections.py $(ARGS)

bench-delivery: .venv/.dev  ## Measure the delivery engine; ARGS="--only catchup" for a part
	@$(BIN)/python bench/delivery.py $(ARGS)

bench-volunteers: .venv/.dev  ## Measure how fast 490 people are called, and chosen among 100,000
	@$(BIN)/python bench/volunteers.py $(ARGS)

bench-sealing: .venv/.dev  ## Measure what sealing costs an append
	@$(BIN)/python bench/sealing.py $(ARGS)

schemas: .venv/.dev  ## Write JSON Schemas and AsyncAPI from the models
	@$(BIN)/python -m schemas.generate

annual-report: .venv/.dev  ## Write docs/annual-report-2021.md: the history imported and reported by the commands
	@$(BIN)/python tests/data/annual_document.py

lock: .venv/.dev  ## Renew the locks (hashes, no addresses)
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

sbom:  ## Write what the software is made of: build/sbom.cdx.json (CycloneDX)
	@$(PYTHON) tools/sbom.py $(ARGS)

audit:  ## Ask osv.dev about advisories; not part of the checks
	@$(PYTHON) tools/audit.py $(ARGS)

clean:  ## Remove what was built, not the data
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
