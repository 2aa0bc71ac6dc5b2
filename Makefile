# Every target makes the environment it needs: .venv with the pinned versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/peers
PEERS_READY := $(PEERS)/.ready
PIP := -m pip --disable-pip-version-check install --quiet

.PHONY: help setup run test lint bench mitigation table kill clean

help:
	@echo "make setup   create .venv with everything installed"
	@echo "make run     train the digits preset, noiseless and sampled, into runs/"
	@echo "make test    tests and doctests with the coverage gate"
	@echo "make lint    ruff, formatting, types"
	@echo "make bench   every benchmark, against the peers"
	@echo "make mitigation   the tables of error mitigation and of training under noise (about two hours)"
	@echo "make table   all tasks side by side into benchmarks/table.md (about an hour; goes on where stopped)"
	@echo "make kill    200 random SIGKILLs while paid jobs are rehearsed (Linux; 15 minutes)"
	@echo "make clean   remove environments, caches and build products (runs/ and data/ stay)"

setup: $(READY)

# The build back end comes from constraints.txt too, hence no build isolation.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) -c constraints.txt hatchling editables
	$(BIN)/python $(PIP) -c constraints.txt --no-build-isolation -e '.[all]'
	@touch $@

run: $(READY)
	$(BIN)/qt-hw run digits

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(PEERS_READY): benchmarks/requirements-peers.txt | $(READY)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(PIP) -r benchmarks/requirements-peers.txt
	$(PEERS)/bin/python $(PIP) --no-deps torchquantum==0.1.8
	@touch $@

mitigation: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mitigation
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mitigation_training

table: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.table

bench: $(READY) $(PEERS_READY)
	for name in exact shots aer braket journal hardware mitigation_cost startup study flood reinforcement typhoon language large; do $(BIN)/python -m benchmarks.$$name || exit 1; done

kill: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.kill

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache
	rm -rf benchmarks/results *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
