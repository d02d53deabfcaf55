# Each target makes the virtual environment that it needs and needs nothing else but Python.
#
#   make run                        a member on 127.0.0.1:2379, data in ./default.etcd
#   make cluster                    three members, as the Procfile says, on 2379, 22379 and 32379
#   make run ARGS='--name a'        the same with flags
#   make test ARGS='tests/tree -x'  some of the tests
#   make simulate SEEDS=10000 TIME=600  so many seeds, but none begun after so many seconds
#   make simulate ARGS='--seed 42 --trace'
#   make bench COMPILED=1           run, test, soak or bench with the hot modules compiled (setup.py)

PYTHON ?= python3
# Tests wait for servers much of the time: half as many of them again as there are cores.
JOBS ?= $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))
ARGS ?=
# How many times the usual number of examples the soak gives to each property test.
SOAK_EXAMPLES ?= 20

VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.ready-to-run
DEV_STAMP := $(VENV)/.ready-to-develop
ACCEPT_STAMP := $(VENV)/.ready-to-accept
PYTEST := $(BIN)/python -m pytest
# Without COMPILED the recipes run here; with it in a copy that has the compiled modules beside the
# sources of all others.  Its style is not looked at again.
COPY := build/compiled
ifdef COMPILED
BUILT := $(COPY)/.ready
IN := cp -rfT tests $(COPY)/tests && cp -rfT benchmarks $(COPY)/benchmarks && cd $(COPY) && \
    PYTHONPATH=$(abspath $(COPY))
PYTEST += --ignore tests/style
endif

# Tests and benchmarks start members hundreds of times: without kept bytecode each start would compile
# all sources, whatever the shell that `make` was called from wishes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run cluster test check bench soak acceptance simulate mutants clean

run: $(RUN_STAMP) $(BUILT)
	@$(if $(COMPILED),PYTHONPATH=$(abspath $(COPY))) exec $(BIN)/etcdpy $(ARGS)

# One member's end is not the others'; Ctrl-C ends all.
cluster: $(RUN_STAMP)
	@PATH="$(abspath $(BIN)):$$PATH"; members=; \
	trap 'kill $$members 2>/dev/null; wait; exit 0' INT TERM; \
	while IFS= read -r line; do \
	    case $$line in '#'*) continue;; esac; name=$${line%%:*}; \
	    eval "$${line#*: } >>$$name.log 2>&1 &"; members="$$members $$!"; \
	    echo "$$name has process id $$! and writes to $$name.log"; \
	done <Procfile; \
	wait

test: $(DEV_STAMP) $(BUILT)
	$(IN) $(PYTEST) -n $(JOBS) --dist worksteal -m "not soak and not acceptance" $(ARGS)

check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV_STAMP) $(BUILT)
	$(IN) $(BIN)/python -m benchmarks $(ARGS)

# Hours of what `make test` does in minutes: more rounds, more seeds, more examples.
# ETCDPY_SOAK_S is how many seconds of faults the clusters get, 1800 by default.
soak: $(DEV_STAMP) $(BUILT)
	$(IN) $(PYTEST) -n $(JOBS) --dist worksteal -m soak $(ARGS)
	$(IN) ETCDPY_SOAK_EXAMPLES=$(SOAK_EXAMPLES) $(PYTEST) -n $(JOBS) -m "not soak" tests/tree $(ARGS)

# One after the other: the times on etcdpy and on the real etcd are compared.  About 25 minutes.
acceptance: $(ACCEPT_STAMP)
	$(PYTEST) -m acceptance tests/acceptance $(ARGS)

simulate: $(DEV_STAMP)
	$(BIN)/python -m tests.simulation --processes $$(nproc) \
	    $(if $(SEEDS),--seeds $(SEEDS)) $(if $(TIME),--time $(TIME)) $(ARGS)

# Sabotage core, pump and store, one defect at a time, and show what notices each.
mutants: $(DEV_STAMP)
	$(BIN)/python -m tests.simulation.mutants $(ARGS)

$(COPY)/.ready: $(DEV_STAMP) setup.py $(shell find etcdpy -name '*.py')
	rm -rf $(COPY) && mkdir -p $(COPY)
	cp -r etcdpy docs pyproject.toml setup.py README.md LICENSE config.example.yml Procfile Makefile \
	    $(COPY) && ln -s ../../$(VENV) $(COPY)/$(VENV)
	cd $(COPY) && ETCDPY_COMPILE=1 $(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache .coverage*
	find etcdpy tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "etcdpy needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) has no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV_STAMP): pyproject.toml $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(RUN_STAMP)

$(ACCEPT_STAMP): $(DEV_STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,acceptance]'
	@touch $@
