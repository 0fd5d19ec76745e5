# Needs Python 3.11 or newer, and make. PYTHON=/path/to/python chooses one; everything is installed into .venv.

SOURCES := pyproject.toml constraints.txt \
	.ci/setup/environment.py .ci/setup/compile.py .ci/setup/requirements.py \
	$(shell find api/graphiql -type f ! -path '*/dist/*' ! -path '*/node_modules/*' ! -name '*.pyc')

# A checkout that was moved, or a Python that was removed, leaves an environment that does not run.
VENV_RUNS := $(shell grep -qs 'venv $(CURDIR)/.venv$$' .venv/pyvenv.cfg && .venv/bin/python -c 'print("yes")' 2>/dev/null)
ifneq ($(VENV_RUNS),yes)
BROKEN := broken
endif

.PHONY: help up test check fix migration bench chaos sbom clean broken

help:
	@echo 'make up      run Tandem with its own PostgreSQL and Valkey (Ctrl-C stops it)'
	@echo 'make test    run all tests, also while `make up` runs (ARGS="-k words")'
	@echo 'make check   check style, format, types and imports'
	@echo 'make fix     format the code, and correct its style where a tool can'
	@echo 'make migration NAME=phone   write the migration that adds new fields of aggregates to their tables'
	@echo 'make chaos   inject faults into a cluster under load, and check every promise (SEED=1 MINUTES=10 CLUSTER=1)'
	@echo 'make bench   measure the service (ARGS="--help" lists the options)'
	@echo 'make sbom    write sbom.json, the bill of materials (CycloneDX) of what runs'
	@echo 'make clean   remove the environment and all caches, keep the data in .data'

# A make that is killed cannot forward the signal, so its child has the kernel send it a SIGTERM (15) then.
up: .venv/.up
	@exec .venv/bin/python -I -S api/embedded/child.py $$PPID 15 same . -- .venv/bin/tandem up

# With bytecode on disk, the processes that tests start need not compile every module again.
test: export PYTHONDONTWRITEBYTECODE :=
test: .venv/.test
	@exec .venv/bin/python -m pytest -n 4 --dist worksteal $(ARGS)

check: .venv/.test
	@failed=; for tool in 'ruff check .' 'ruff format --check .' mypy lint-imports; do \
		.venv/bin/$$tool || failed="$$failed, $$tool"; \
	done; \
	if [ -n "$$failed" ]; then echo "make check: failed: $${failed#, }" >&2; exit 1; fi; \
	echo 'make check: all passed'

fix: .venv/.test
	@.venv/bin/ruff check --quiet --fix --exit-zero . && .venv/bin/ruff format .

migration: .venv/.test
	@exec .venv/bin/python -m tests.domain.new_migration $(NAME)

bench: .venv/.test
	@exec .venv/bin/python -m tests.benchmarks $(ARGS)

chaos: .venv/.test
	@exec .venv/bin/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10) $(if $(CLUSTER),--cluster) $(ARGS)

sbom: .venv/.test
	@.venv/bin/python .ci/setup/sbom.py >sbom.json.new && mv sbom.json.new sbom.json && echo 'sbom.json is written.'

clean:
	rm -rf .venv .venv.lock api/graphiql/dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.up: $(SOURCES) $(BROKEN)
	@sh .ci/setup/with_python.sh .ci/setup/environment.py up embedded

.venv/.test: $(SOURCES) $(BROKEN)
	@sh .ci/setup/with_python.sh .ci/setup/environment.py test,up embedded,otel,zstd,dev
