# Every target makes what it needs; `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
BUF := build/tools/node_modules/.bin/buf
STUBS := clients/python/triptych/v1
PICTURES ?=
CHECKPOINT ?=
TESTS ?=
# One thread a worker: more would fight over the cores.
SIDE_BY_SIDE = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

.PHONY: help demo test test-packaging test-engines check bench bench-engines protos serve clean
.DEFAULT_GOAL := help

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp a set of extras: installing is skipped until pyproject.toml or constraints.txt changes.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$*]"
	@touch $@

demo: $(VENV)/.installed-server,plot $(if $(CHECKPOINT),$(VENV)/.installed-export) ## Search, caption, ask and chat about pictures; writes build/demo/index.html.
	$(BIN)/python demo/run.py $(if $(PICTURES),--pictures "$(PICTURES)") $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)")

serve: $(VENV)/.installed-server ## Run the gateway with the shipped models.
	$(BIN)/triptych serve

test: $(VENV)/.installed-dev ## Run the fast tests, or those of TESTS=PATH.
	$(if $(TESTS),$(BIN)/python -m pytest -q $(TESTS),$(SIDE_BY_SIDE))

test-packaging: $(VENV)/.installed-dev ## Build the wheel and try the stubs on the protobuf runtimes.
	$(BIN)/python -m pytest -q -m packaging

test-engines: $(VENV)/.installed-dev ## Run the contract suites on a real Triton and a real vLLM (installed under build/engines).
	$(BIN)/python tests/engines/vllmserver.py --install
	$(BIN)/python -m pytest -q -m engines

check: $(VENV)/.installed-dev $(BUF) ## Lint, type-check, check deploy/, and compare the stubs with the protos.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BUF) lint protos
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(BIN)/hadolint deploy/Dockerfile
	@$(MAKE) --no-print-directory protos STUBS=build/stubs/triptych/v1
	diff -r -x __pycache__ -x __init__.py build/stubs/triptych/v1 clients/python/triptych/v1

bench: $(VENV)/.installed-dev ## Measure throughput, latency, generation, searches and restarts.
	$(BIN)/python clients/loadtest/bench.py
	$(BIN)/python clients/loadtest/generation.py
	$(BIN)/python clients/loadtest/mils.py
	$(BIN)/python clients/loadtest/restart.py

bench-engines: export PYTHONPATH = tests/engines
bench-engines: $(VENV)/.installed-dev ## Measure a real Triton: alone, behind the gateway, and killed under load; and searches on it and a real vLLM.
	$(BIN)/python clients/loadtest/triton_perf.py
	$(BIN)/python clients/loadtest/triton_latency.py
	$(BIN)/python clients/loadtest/triton_throughput.py
	$(BIN)/python clients/loadtest/triton_failover.py
	$(BIN)/python clients/loadtest/mils_engines.py

protos: $(VENV)/.installed-dev ## Regenerate the Python stubs from protos/.
	@rm -f $(STUBS)/*_pb2*.py $(STUBS)/*_pb2*.pyi
	@mkdir -p $(STUBS)
	PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos --python_out=$(STUBS)/../.. --pyi_out=$(STUBS)/../.. \
		--grpc_python_out=$(STUBS)/../.. --mypy_grpc_out=quiet:$(STUBS)/../.. protos/triptych/v1/*.proto

$(BUF):
	npm install --silent --no-fund --no-audit --prefix build/tools @bufbuild/buf@1.75.0

clean: ## Remove everything that was built.
	rm -rf build dist $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache
