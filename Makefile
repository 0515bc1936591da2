# Every target works from a clean clone with Python >= 3.11 and nothing else installed.
# `make PYTHON=/path/to/python3.12 …` chooses the interpreter; otherwise the first one that is new enough is taken.

CONSTRAINTS = constraints.txt
PIP = -m pip --disable-pip-version-check --no-input install --quiet --constraint $(CONSTRAINTS)

# Sets $$python, or stops with one line that says what is missing.
FIND_PYTHON = \
	chosen="$(PYTHON)"; python=; problem="needs Python 3.11 or newer"; \
	for candidate in $${chosen:-python3 python3.13 python3.12 python3.11}; do \
		"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if "$$candidate" -c 'import venv, ensurepip' 2>/dev/null; then python=$$candidate; break; fi; \
		problem="needs the venv module of $$candidate (on Debian: apt-get install python3-venv)"; \
	done; \
	if [ -z "$$python" ]; then \
		echo "jobledger $$problem; looked at: $${chosen:-python3 python3.13 python3.12 python3.11}." >&2; \
		exit 1; \
	fi

# What `check` and `test` both do first. $$bin is the folder of the tools.
STATIC = \
	"$$bin/ruff" format --check . && \
	"$$bin/ruff" check . && \
	"$$bin/mypy" && \
	"$$bin/lint-imports" --no-logo

.PHONY: help env dev run demo check test bench bench-audit bench-past storm proof format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

env: .venv/runtime-stamp ## make .venv with the pinned versions and .venv/bin/jobledger

dev: .venv/dev-stamp ## add the tools that check and test use to .venv

run: env ## start server and dispatcher on SQLite in ./data
	@exec .venv/bin/jobledger serve

demo: env ## a storm, a tripped breaker and an audited force-resume, for real, in under a minute
	@exec .venv/bin/python -m api.demo

check: dev ## format, lint, types, imports, and the unit, contract (SQLite) and golden tests: about a minute
	@started=$$(date +%s); bin=.venv/bin; $(STATIC) && \
	"$$bin/pytest" -q -n auto -m "not slow and not proof and not postgres" tests/unit tests/contract tests/golden && \
	echo "make check took $$(( $$(date +%s) - started )) s"

test: ## everything but the proofs, from nothing, in an environment of its own
	@$(FIND_PYTHON); \
	echo "making .venv-test from nothing"; \
	"$$python" -m venv --clear .venv-test && \
	.venv-test/bin/python $(PIP) --editable '.[dev]' && \
	bin=.venv-test/bin; $(STATIC) && "$$bin/pytest" -n 2 -m "not proof"

bench: dev ## print every table of speeds: commands and runs, then bench-audit and bench-past
	@status=0; \
	.venv/bin/python -m tests.benchmarks || status=1; \
	$(MAKE) --no-print-directory bench-audit || status=1; \
	$(MAKE) --no-print-directory bench-past || status=1; \
	exit $$status

bench-audit: dev ## print how long queries on EVENTS=10000000 events take, and an export (10 M need 8 GB of disk)
	@.venv/bin/python -m tests.benchmarks.audit --export --events $(or $(EVENTS),10000000)

bench-past: dev ## print how long as_of and what-if take over 10,000 jobs and EVENTS=1000000 events
	@.venv/bin/python -m tests.benchmarks.audit --events $(or $(EVENTS),1000000) --jobs 10000 --past

storm: dev ## make a month of a fleet with planted storms anew, in ./storm-data
	@rm -rf storm-data && .venv/bin/python -m tests.storm --out storm-data

proof: dev ## the tests that take minutes
	@.venv/bin/pytest -m proof --timeout 3600

format: dev ## put the source in order
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

clean: ## remove what these targets made (never ./data)
	@rm -rf .venv .venv-test build jobledger.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	@find ledger projections api tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/runtime-stamp: pyproject.toml $(CONSTRAINTS)
	@$(FIND_PYTHON); \
	echo "making .venv with the versions of $(CONSTRAINTS)"; \
	"$$python" -m venv --clear .venv && \
	.venv/bin/python $(PIP) --editable . && \
	touch $@

.venv/dev-stamp: .venv/runtime-stamp
	@echo "adding the development tools to .venv"; \
	.venv/bin/python $(PIP) --editable '.[dev]' && \
	touch $@
