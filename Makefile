# Set-up, run, test, check and measure; bare `make` lists what there is.
PYTHON ?= python3
BIN := .venv/bin
NODE_CLIENT := tests/integration/clients/node
LITELLM := benchmarks/.litellm
AUDIT := .venv/audit/bin

# Without it every process of the tests compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-last screenshots faults mutations check format audit bench bench-scale bench-gateway lock clean

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

run: .venv/runtime ## Start the service (embedded default; settings from the environment or .env)
	@$(BIN)/pixyproxy serve

WORKERS ?= 4
PARALLEL := --numprocesses $(WORKERS) --dist worksteal
WITH_NODE := $(if $(shell command -v npm 2>/dev/null),$(NODE_CLIENT)/node_modules/.installed)
test: .venv/dev $(WITH_NODE) ## Run the tests (some minutes); those that need a MySQL server, a browser, nginx, Node, Redis or SeaweedFS skip where there is none
	$(BIN)/python -m pytest $(PARALLEL)

test-slow: .venv/dev ## Run the long tests that `make test` leaves out (up to half an hour)
	$(BIN)/python -m pytest -m slow $(PARALLEL)

test-last: .venv/dev ## Run the tests again that failed last
	$(BIN)/python -m pytest -m "" --last-failed --last-failed-no-failures none

screenshots: .venv/dev ## Write the pages in both themes and three widths to screenshots/
	PIXYPROXY_REQUIRE_BROWSER=1 $(BIN)/python -m pytest -q -m slow tests/browser/test_screenshots.py

ROUNDS ?= 60
DATABASE ?= sqlite
faults: .venv/dev ## Kill the service at ROUNDS=60 random moments, on DATABASE=sqlite or mysql, and compare all accounts
	@$(BIN)/python -m tests.faults --rounds $(ROUNDS) --database $(DATABASE)

mutations: .venv/dev ## Take out one step or flush at a time and see that a test fails for each (some minutes)
	@$(BIN)/python -m tests.faults.mutations

check: .venv/dev $(WITH_NODE) ## Check format, lint, types (of the page's scripts too, where Node is there) and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(WITH_NODE),$(NODE_CLIENT)/node_modules/.bin/tsc --project tests/browser/jsconfig.json)

format: .venv/dev ## Format the code and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

audit: .venv/audit/.installed ## Look for unsafe code (bandit) and, where advisories can be reached, for vulnerable dependencies (pip-audit)
	$(AUDIT)/bandit --quiet --recursive --severity-level medium --confidence-level medium --skip B104 src
	@$(AUDIT)/python requirements/audit.py

bench: .venv/dev ## Measure the service, as ratios in one run
	$(BIN)/python -m benchmarks

SIZES ?= 10000,100000,1000000
DATABASES ?= sqlite,mysql
bench-scale: .venv/dev ## Measure lists and searches among SIZES=10000,100000,1000000 images (some minutes)
	$(BIN)/python -m benchmarks.scale --sizes $(SIZES) --database $(DATABASES)

bench-gateway: .venv/dev $(LITELLM)/.installed ## Measure generations beside LiteLLM's proxy, which is installed in benchmarks/.litellm
	$(BIN)/python -m benchmarks gateway

lock: .venv/dev ## Renew the locked dependencies from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra build --extra dev $(LOCK) --output-file requirements/dev.txt
	$(BIN)/uv pip compile pyproject.toml --extra build $(LOCK) --constraint requirements/dev.txt --output-file requirements/runtime.txt
	printf 'redis>=8.0\n' | $(BIN)/uv pip compile - $(LOCK) --constraint requirements/dev.txt --output-file requirements/redis.txt
	printf 'opentelemetry-exporter-otlp-proto-http>=1.45\nopentelemetry-sdk>=1.45\n' | $(BIN)/uv pip compile - $(LOCK) --constraint requirements/dev.txt --output-file requirements/otel.txt
	printf 'bandit>=1.9\npip-audit>=2.10\n' | $(BIN)/uv pip compile - $(LOCK) --output-file requirements/audit.txt

clean: ## Remove what the commands above made, but no data
	rm -rf .venv $(LITELLM) $(NODE_CLIENT)/node_modules dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# For every platform and Python from 3.11 on, with hashes and without addresses.
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "PixyProxy needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

# All stamps are made anew when the lock or the project's own metadata changes.
.venv/runtime: .venv/bin/python requirements/runtime.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/bin/python requirements/dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ .venv/runtime

$(NODE_CLIENT)/node_modules/.installed: $(NODE_CLIENT)/package.json $(NODE_CLIENT)/package-lock.json
	npm ci --prefix $(NODE_CLIENT) --loglevel error --ignore-scripts --no-audit --no-fund
	@touch $@

# Its version, and the hash of every file of it, are those of the lock; the project itself does not depend on it.
$(LITELLM)/.installed: requirements/litellm.txt | .venv/dev
	$(PYTHON) -m venv $(LITELLM)
	$(BIN)/uv pip install --quiet --python $(LITELLM)/bin/python --require-hashes --requirement requirements/litellm.txt
	@touch $@

.venv/audit/.installed: requirements/audit.txt | .venv/dev
	$(PYTHON) -m venv .venv/audit
	$(BIN)/uv pip install --quiet --python $(AUDIT)/python --require-hashes --requirement requirements/audit.txt
	@touch $@
