# Every target sets up what it needs and is quick the second time. Start with `make demo`; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Debian's own interpreter: python3-bpfcc is built for it. A python3 found in PATH may be another one.
PYTHON := /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Tests must not depend on how the caller's shell is set up.
unexport PYTHONPATH PYTHONHOME PYTEST_ADDOPTS

# Pure levels: no root, no network namespaces. Functional tests need root and fail, never skip, without it.
LEVELS := tests/unit tests/contract tests/golden tests/sim tests/repo
UV_VERSION := 0.13.9

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: packages-demo $(READY) ## two nodes, three services: live flows with names and evidence, bytes checked (root)
	@$(BIN)/python -m tests.demo

.PHONY: check
check: packages-check $(READY) static ## format, lint, types, imports, and every test that needs no root
	@$(BIN)/python -m pytest --quiet --numprocesses 3 --dist loadfile --hypothesis-profile brief $(wildcard $(LEVELS))

.PHONY: test
test: packages-test $(READY) static ## everything in check with more examples, and the functional tests (root)
	@$(BIN)/python -m pytest --quiet --numprocesses 3 --dist loadfile $(wildcard $(LEVELS))
	@$(MAKE) --jobs 2 --output-sync=target functional-nodes functional-mesh

# Most of their time is waiting, so two run side by side. Within one, scenes have fixed names.
.PHONY: functional-nodes functional-mesh
functional-nodes: $(READY)
	@$(BIN)/python -m pytest --quiet $(filter-out %/injector %/__pycache__ %.py,$(wildcard tests/functional/*))
functional-mesh: $(READY)
	@$(BIN)/python -m pytest --quiet tests/functional/injector

.PHONY: compare
compare: packages-test $(READY) ## where an address and an identity part: a quick comparison and its report (root); all: ipseity compare
	@$(BIN)/ipseity compare --quick

.PHONY: prove
prove: packages-bench $(READY) ## list what this project claims; WHAT=name measures one claim here (root)
	@$(BIN)/python -m tests.prove $(WHAT)

.PHONY: bench
bench: packages-bench $(READY) ## what agent and mesh cost, A B A B (root, a quiet machine)
	@$(BIN)/python -m tests.bench

.PHONY: scale
scale: packages-bench $(READY) ## a cluster larger than this machine, simulated: memory, time, processor (a quiet machine)
	@$(BIN)/python -m tests.scale

.PHONY: kernels
kernels: packages-kernels $(READY) ## the same programs on Debian's 5.10, 6.1 and 6.12, in emulation (root)
	@$(BIN)/python -m tests.kernels

.PHONY: image-check
image-check: packages-image $(READY) ## make both images' root file systems from the Dockerfile and run them in a lab (root)
	@$(BIN)/python -m tests.prove image-check

# What a person says of his cluster (KUBECONFIG, CONTEXT, IMAGE_AGENT, ...: docs/install.md) is in the environment.
.PHONY: test-cluster
test-cluster: $(READY) ## try this version on a real cluster: KUBECONFIG=FILE, images as IMAGE_AGENT, IMAGE_MESH; leaves nothing
	@$(BIN)/python -m tests.cluster

.PHONY: proto
proto: $(READY) ## generate the code of injector/proto/*.proto anew (a test holds it against what is committed)
	@$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. injector/proto/*.proto

.PHONY: dashboards
dashboards: $(READY) ## make deploy/grafana anew from deploy/dashboards (a test holds it against what is committed)
	@$(BIN)/python -m deploy.dashboards

.PHONY: clean
clean: ## remove what the other targets made in this folder
	rm -rf $(VENV) .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: static
static: $(READY)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2> /dev/null || $(BIN)/lint-imports

.PHONY: lock
lock: $(READY) ## resolve the dependencies anew, with hashes
	@$(BIN)/pip install --quiet uv==$(UV_VERSION)
	@$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --extra lab --extra proxy --extra dev \
	    --python-version 3.11 --python-platform x86_64-manylinux_2_31 --custom-compile-command "make lock" pyproject.toml -o requirements.lock

.PHONY: packages-check packages-test packages-demo packages-bench packages-kernels packages-image
packages-check:
	@deploy/debian/ensure check
packages-test:
	@deploy/debian/ensure check test
packages-demo:
	@deploy/debian/ensure check demo
packages-bench:
	@deploy/debian/ensure check bench
packages-image:
	@deploy/debian/ensure check image
packages-kernels:
	@deploy/debian/ensure check kernels

$(READY): requirements.lock pyproject.toml deploy/debian/prometheus deploy/debian/packages.txt
	@deploy/debian/ensure check
	@test -x $(BIN)/pip || { rm -rf $(VENV); $(PYTHON) -m venv --system-site-packages $(VENV); }
	@echo "setting up $(VENV)" >&2
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@# xds-protos brings an old copy of OpenTelemetry's messages to the same place: the right one goes over it.
	@echo opentelemetry-proto | $(PYTHON) deploy/image/pick.py requirements.lock /dev/stdin > $(VENV)/over.lock
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check --require-hashes --no-deps --force-reinstall -r $(VENV)/over.lock
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@deploy/debian/prometheus $(BIN)/promtool
	@touch $@
