# Everything a person or CI does here, by name. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin
INSTALLED := .venv/.installed
PEERS := benchmarks/peers
PEERS_INSTALLED := .venv-peers/.installed

# Waiting OpenMP threads sleep: spinning ones slow each other down when a machine does two things.
export OMP_WAIT_POLICY ?= PASSIVE
# What is imported is compiled once and kept, even where the environment (many containers') says not
# to: tests start hundreds of processes, and each compiled torch, MLflow and Kubeflow anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 16

.PHONY: setup
setup: $(INSTALLED) ## Install what requirements.lock says into .venv

.PHONY: demo
demo: $(INSTALLED) ## Take the built-in demo category through the whole pipeline, with a short training
	@$(BIN)/gtrans run --category demo --set training.effort=fast

# A file's tests stay in one process: they share what is costly to set up. Folders come in order, so
# that the run ends on short files, not on a long one with the others idle. One process more than
# two cores: tests wait for servers and outages a third of their time.
TEST_PROCESSES ?= 3
TEST_REPORT := .pytest_cache/report.xml

.PHONY: test
test: $(INSTALLED) ## Run all tests (TEST_PROCESSES=3 at a time)
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder \
	  --junitxml $(TEST_REPORT)

.PHONY: test-slow
test-slow: $(INSTALLED) ## List the twenty slowest tests of the last `make test`, and the ten slowest files
	@$(BIN)/python .ci/slowest_tests.py $(TEST_REPORT)

.PHONY: test-quick
test-quick: $(INSTALLED) ## Run the tests that are not marked slow
	@$(BIN)/python -m pytest -m "not slow"

.PHONY: lint
lint: style types layers compiled docs-check ## Check style, types, import order between layers, compiled pipelines, docs

.PHONY: style types layers compiled
style: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports --no-logo

compiled: $(INSTALLED)
	@$(BIN)/gtrans compile --output .venv/compiled > /dev/null
	@diff -r .venv/compiled pipelines/compiled \
	  || { echo "pipelines/compiled is stale: run 'make compile' and commit it"; exit 1; }

# Material announces the end of MkDocs 1 with every build. Never --quiet: warnings would not count.
docs docs-check: export NO_MKDOCS_2_WARNING := 1

.PHONY: docs
docs: $(INSTALLED) ## Show the docs as a site, at http://127.0.0.1:8000
	@$(BIN)/mkdocs serve --strict

.PHONY: docs-check
docs-check: $(INSTALLED) ## Build the docs' site and check every link (into .venv/site)
	@$(BIN)/mkdocs build --strict

# Public digests look like keys, and CANARY is what tests look for; where a secret lies is none itself:
# a variable's name, a Kubernetes secret's, a path.
NO_SECRETS := --exclude-lines '(?i)sha256|digest|(cache|training)_key"|secretKey: |secretName|image_pull_secret|_SECRET_ACCESS_KEY"' \
  --exclude-secrets '^(CANARY.*|secret|[A-Z_]+|/etc/gtrans-signing/.*)$$'

.PHONY: security
security: $(INSTALLED) ## Look for mistakes in the code, secrets in files, known holes in dependencies
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml gtrans gtrans_core components pipelines
	@git ls-files -z -- ':!requirements.lock' ':!benchmarks/peers/requirements.lock' \
	  | xargs -0 $(BIN)/detect-secrets-hook $(NO_SECRETS)
	$(BIN)/python .ci/audit_dependencies.py

.PHONY: compile
compile: $(INSTALLED) ## Write the pipelines' YAML, pipelines/compiled
	@$(BIN)/gtrans compile

# Not openvino: 179 MB that only one option of one command needs.
LOCKED_EXTRAS := --extra elpv --extra lite --extra postgresql --extra server --extra docs --extra dev

.PHONY: lock
lock: $(UV) ## Resolve pyproject.toml anew into requirements.lock
	$(UV) pip compile pyproject.toml $(LOCKED_EXTRAS) --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header -o requirements.lock

.PHONY: peers-setup
peers-setup: $(PEERS_INSTALLED) ## Install anomalib's models, to compare with, into .venv-peers

.PHONY: peers-lock
peers-lock: $(UV) ## Resolve the peers' requirements anew
	$(UV) pip compile $(PEERS)/requirements.in --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header -o $(PEERS)/requirements.lock

# The image of every component and of `gtrans serve`, and the small one that scores and serves alone;
# docs/how-to/image.md.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= gtrans-python:$(VERSION)
SERVE_IMAGE ?= gtrans-serve:$(VERSION)
IMAGES := infra/images
BUILD_IMAGE = EXTRAS="train serve elpv postgresql server" IMAGE="$(IMAGE)" $(IMAGES)/build.sh
BUILD_SERVE_IMAGE = EXTRAS=serve IMAGE="$(SERVE_IMAGE)" $(IMAGES)/build.sh
image image-serve image-test: export UV_VERSION := $(UV_VERSION)
image image-serve image-test: export VERSION := $(VERSION)

.PHONY: image
image: ## Build the container image (BASE=NAME@sha256:..., podman or docker)
	@$(BUILD_IMAGE)

.PHONY: image-serve
image-serve: ## Build the image that scores and serves, without torch (BASE=NAME@sha256:...)
	@$(BUILD_SERVE_IMAGE)

.PHONY: image-statement
image-statement: $(INSTALLED) ## List what a built image holds and comes from, signed with GTRANS_SIGNING_KEY (IMAGE=...)
	@$(BIN)/python $(IMAGES)/statement.py "$(IMAGE)" image-statement

# What is tested is what is recorded: files that change meanwhile make it stale.
.PHONY: image-test
image-test: export BUILD_FLAGS := --network=host
image-test: $(INSTALLED) ## Build the images on a stand-in base and run every component in them (root, podman)
	@digest="$$($(IMAGES)/digest.sh)"; BASE="$$($(IMAGES)/stand_in_base.sh)"; export BASE; \
	$(BUILD_IMAGE); $(BUILD_SERVE_IMAGE); \
	GTRANS_IMAGE="$(IMAGE)" GTRANS_SERVE_IMAGE="$(SERVE_IMAGE)" $(BIN)/python -m pytest tests/image; \
	echo "$$digest" > $(IMAGES)/tested.sha256

STACK := PYTHONPATH=. $(BIN)/python -m infra.stack

.PHONY: stack-up
stack-up: $(INSTALLED) ## Start PostgreSQL, SeaweedFS and MLflow on this machine (STACK_FLAGS="--port 5001")
	@$(STACK) up $(STACK_FLAGS)

.PHONY: stack-down
stack-down: $(INSTALLED) ## Stop what stack-up started; data stays
	@$(STACK) down $(STACK_FLAGS)

# What the accuracy benchmarks are measured on: categories in MVTec layout, and the product's own sources.
BENCH_DATA ?= $(addprefix ../shared/data/,magnetic_tile/tile mvtec/bottle mvtec/screw mpdd/metal_plate rsdds/rail_patch) \
  demo:demo elpv:mono elpv:poly
ACCURACY = $(BIN)/python -m benchmarks.accuracy

.PHONY: ablate
ablate: $(INSTALLED) ## Measure what each part of GTrans is worth (about two hours; BENCH_DATA="DIR ...")
	$(ACCURACY).ablate $(addprefix --data ,$(BENCH_DATA))

.PHONY: bench-suite
bench-suite: $(INSTALLED) ## Measure the default beside its parts on every category (BENCH_DATA="DIR ...")
	$(ACCURACY).suite $(addprefix --data ,$(BENCH_DATA))

.PHONY: bench-accuracy
bench-accuracy: $(INSTALLED) $(PEERS_INSTALLED) ## Measure GTrans beside anomalib's models (hours; BENCH_DATA="DIR ...")
	$(ACCURACY).compare $(addprefix --data ,$(BENCH_DATA))

# ONLY="score,cache" measures some parts; the others keep their numbers.
.PHONY: bench-speed
bench-speed: $(INSTALLED) $(PEERS_INSTALLED) ## Time scoring beside peers, training, cache, metrics, growth (minutes; ONLY="PART,...")
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.speed --only "$(ONLY)"

.PHONY: bench-training
bench-training: $(INSTALLED) ## Measure the training loop on this machine's device (OPTIONS="--config paper-resnet34 --set training.compile=true")
	$(BIN)/python -m benchmarks.speed.training $(OPTIONS)

.PHONY: clean
clean: ## Remove the environments, tools and caches (never your stores)
	rm -rf .venv .venv-peers .tools build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew only when the lock or the package's own facts change.
$(INSTALLED): requirements.lock pyproject.toml | $(UV)
	@$(UV) venv --quiet --allow-existing --python '>=3.11,<3.13' .venv
	$(UV) pip sync --python $(BIN)/python --require-hashes requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Apart from .venv: the peers must not change what the product is built on.
$(PEERS_INSTALLED): $(PEERS)/requirements.lock | $(UV)
	@$(UV) venv --quiet --allow-existing --python '>=3.11,<3.13' .venv-peers
	$(UV) pip sync --python .venv-peers/bin/python --require-hashes $(PEERS)/requirements.lock
	@touch $@

$(UV):
	@python3 -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "python3-venv is missing: run 'apt-get install python3-venv' (Debian, Ubuntu)"; exit 1; }
	python3 -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
