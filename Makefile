# What there is to do here; `make help` lists it. Needs Python 3.11 or newer, and uses uv where there is one.

# With it set, Python would compile every module again at every start
unexport PYTHONDONTWRITEBYTECODE

PYTHON_HERE = .venv/bin/python
LOCK = uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock"

.PHONY: help run test lint bench chaos mutants lock clean

help:  ## Show this list
	@awk -F ':  ## ' '/^[a-z]+:  ## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

run:  ## Start the whole service here; settings: docs/configuration.md
	@scripts/setup base
	@exec $(PYTHON_HERE) manage.py up

test:  ## Run the tests, but for those that take minutes
	@scripts/setup dev
	$(PYTHON_HERE) -m pytest -m "not nightly" --numprocesses 3 --dist loadfile

lint:  ## Check style, types and who imports whom
	@scripts/setup dev
	$(PYTHON_HERE) -m ruff check .
	$(PYTHON_HERE) -m ruff format --check .
	$(PYTHON_HERE) -m mypy
	.venv/bin/lint-imports

bench:  ## Measure beside other schedulers, half an hour; QUICK=1: minutes
	@scripts/setup bench
	$(PYTHON_HERE) -m tests.benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))
	$(if $(ONLY),,$(PYTHON_HERE) -m tests.benchmarks.bench_forecast)

chaos:  ## Kill, freeze and cut off what a service needs, for over an hour
	@scripts/setup dev
	$(PYTHON_HERE) -m pytest tests/acceptance -k kill
	$(PYTHON_HERE) -m tests.chaos
	$(PYTHON_HERE) -m tests.chaos.day

mutants:  ## Put faults into the code and see whether a test notices, an hour
	@scripts/setup dev
	$(PYTHON_HERE) -m tests.mutants $(if $(ONLY),--only $(ONLY))

lock:  ## Write requirements/*.txt anew from the .in files; needs uv
	$(LOCK) requirements/base.in -o requirements/base.txt
	$(LOCK) requirements/dev.in -o requirements/dev.txt
	$(LOCK) requirements/bench.in -c requirements/dev.txt -o requirements/bench.txt

clean:  ## Remove .venv and caches; the data folder stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +
