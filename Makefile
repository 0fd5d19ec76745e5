# Needs Python 3.11 or newer, and make. PYTHON=/path/to/python chooses one; all else goes into .venv.

SOURCES := pyproject.toml constraints.txt .ci/setup/environment.py .ci/setup/requirements.py \
	$(shell find api/graphiql -type f ! -path '*/dist/*' ! -path '*/node_modules/*' ! -name '*.pyc')

# A moved checkout or a Python that was removed leaves an environment that no longer runs.
SOUND := $(shell grep -qs 'venv $(CURDIR)/.venv$$' .venv/pyvenv.cfg && .venv/bin/python -c 'print("sound")' 2>/dev/null)
ifneq ($(SOUND),sound)
BROKEN := broken
endif

.PHONY: help up test check bench chaos sbom clean broken

help:
	@echo 'make up      run Tandem with its own PostgreSQL and Valkey (Ctrl-C stops it)'
	@echo 'make test    run all tests, beside a running `make up` if you like (ARGS="-k words")'
	@echo 'make chaos   hurt a whole cluster under load and judge it (SEED=1 MINUTES=10)'
	@echo 'make check   look at style, types and imports only'
	@echo 'make bench   measure the service (ARGS="--help" shows how)'
	@echo 'make sbom    write sbom.json, the bill of materials (CycloneDX) of what runs'
	@echo 'make clean   remove the environment and all caches, keep the data in .data'

# A make that is killed cannot pass that on, so whatever it runs asks the kernel for a SIGTERM (15) then.
up: .venv/.up
	@exec .venv/bin/python -I -S api/embedded/child.py $$PPID 15 same . -- .venv/bin/tandem up

test: .venv/.test
	@exec .venv/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

check: .venv/.test
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

bench: .venv/.test
	@exec .venv/bin/python -m tests.benchmarks $(ARGS)

chaos: .venv/.test
	@exec .venv/bin/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10) $(ARGS)

sbom: .venv/.test
	@.venv/bin/python .ci/setup/sbom.py >sbom.json.new && mv sbom.json.new sbom.json && echo 'sbom.json is written.'

clean:
	rm -rf .venv .venv.lock api/graphiql/dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.up: $(SOURCES) $(BROKEN)
	@sh .ci/setup/with_python.sh .ci/setup/environment.py up embedded

.venv/.test: $(SOURCES) $(BROKEN)
	@sh .ci/setup/with_python.sh .ci/setup/environment.py test,up embedded,otel,dev
