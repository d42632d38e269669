# What one can do here. `make` alone lists it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ROOMS := features training registry serving monitoring infra
BESIDE := $(ROOMS) dags end_to_end world
unexport PYTHONDONTWRITEBYTECODE
export UV_NO_PROGRESS := 1
.DEFAULT_GOAL := help
.PHONY: help install demo up down test unit unit-core unit-rooms check bench lock clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## put everything that is needed into .venv

.venv/installed: requirements.lock pyproject.toml hatch_build.py whence/trees/blend.c whence/calibration/staircase.c whence/identity/moment.c features/rows.c serving/cells.c
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 is needed, and this is %d.%d. Set PYTHON=/path/to/python3.11." % sys.version_info[:2] if sys.version_info[:2] != (3, 11) else 0)'
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation --reinstall-package whence -e .
	@touch $@

demo: ## run the whole loop on real Airflow, and leave the platform up
	@started=$$(date +%s); $(MAKE) --no-print-directory install && WHENCE_INSTALL_SECONDS=$$(( $$(date +%s) - started )) $(BIN)/whence demo

up: install ## start the local platform
	@$(BIN)/whence up

down: ## stop the local platform
	@test ! -x $(BIN)/whence || $(BIN)/whence down

unit: install ## run the quick tests
	@$(MAKE) --no-print-directory -j2 -O unit-core unit-rooms

# Two processes on two cores: threads that wait by spinning would take them from each other.
unit-core unit-rooms: export OMP_NUM_THREADS := 1

unit-core: # those of the core, which loads none of the platforms
	$(BIN)/python -m pytest -q -m "not service" tests $(addprefix --ignore=tests/,$(BESIDE))

unit-rooms: # those of the rooms around it and of the world, so that both take as long, and every example in a docstring
	$(BIN)/python -m pytest -q -m "not service" $(addprefix tests/,$(BESIDE)) $(ROOMS) whence

test: install unit ## run all tests, those on real services and the whole loop too
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m service

check: install ## lint, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: bench-demo bench-identity bench-attribution bench-serving bench-gate bench-rollout bench-monitoring ## measure everything, into docs/benchmarks

bench-demo: install ## measure the demo: time and memory by step, and the second start
	$(BIN)/python -m infra.bench_demo

bench-identity: install ## measure identity matching against its peers
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r requirements-bench.lock
	$(BIN)/python -m infra.bench_identity

bench-attribution: install ## measure attribution against the truth and its peers
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r requirements-bench.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r requirements-bench-cpp.lock || echo "ChannelAttribution wants a C++ compiler: its rows will say that it was not measured."
	$(BIN)/python -m infra.bench_attribution

bench-serving: install ## measure serving against what people use, with wrk and Redis
	$(BIN)/python -m infra.bench_serving

bench-gate: install ## measure the gate: poisons, false promotions, power
	$(BIN)/python -m infra.bench_gate

bench-rollout: install ## measure rollouts: challengers stopped for nothing, and harms found
	$(BIN)/python -m infra.bench_rollout

bench-monitoring: install ## measure monitoring: false alerts on clean days, harms found and named, dirty data, drift, pages
	$(BIN)/python -m infra.bench_monitoring

lock: ## renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile -q pyproject.toml --extra dev --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade -o requirements.lock

clean: down ## remove what the demo made
	rm -rf .whence
