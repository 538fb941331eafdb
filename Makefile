# `make help` lists the targets. `make run` and `make test` are the two to know.

PYTHON ?= python3
# run, serve
HTTP_PORT ?= 8000
GRPC_PORT ?= 8001
METRICS_PORT ?= 8002
# serve: the ranker's named config is cpu, torch, onnx, or the target of an engine
CONFIG ?= cpu
GATEWAY_PORT ?= 8080
# HOST is the gateway's address, TRITON_HOST Triton's
HOST ?= 127.0.0.1
TRITON_HOST ?= 127.0.0.1
# model
PRECISION ?= fp32
VERSION ?= 1
MAX_PAIR_TOKENS ?= 2048
ADAPTERS ?= demo_ranker/adapters.safetensors
# engine, check-engine: a target has its own default precision unless the user names one
ENGINE_PRECISION = $(if $(filter file,$(origin PRECISION)),,--precision $(PRECISION))
# test: a directory or hub id of NVIDIA's weights
export NVIDIA_MODEL
# perf
CONCURRENCY ?= 1 2 4 8 16
REQUESTS ?= 64
# evaluate: bm25 or e5
FIRST_STAGE ?= bm25
EVALUATION ?= --depth 20 --output .cache/evaluation/results$(if $(filter e5,$(FIRST_STAGE)),-e5)
# lock
UV := 0.13.9

PY := .venv/bin/python
SERVE_SETUP = $(if $(filter torch,$(CONFIG)),setup-torch-ranker,setup-gateway)
PORTS = --http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT) --metrics-port $(METRICS_PORT)
BUILT := model_repository/ranker/1/build.json
STRATEGY := model_repository/ranker/1/batchstrategy.so
# evaluation sets: one file of those that are written together
SETS := .cache/evaluation/sets
FAQ_SETS := $(SETS)/perlfaq/qrels/test.tsv
LONG_SET := $(SETS)/manual-pages-long/qrels/test.tsv
DECLARATION_SET := $(SETS)/declaration/qrels/test.tsv

.DELETE_ON_ERROR:
.PHONY: help help-all run serve model engine test check perf evaluate batching lock clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile
	@echo '`make help-all` lists the checks, benchmarks, evaluations and training, too.'

help-all: help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' make/*.mk

run: setup $(BUILT) $(STRATEGY) ## rerank eight passages with a real tritonserver
	@$(PY) scripts/run_demo.py $(PORTS)

serve: $(SERVE_SETUP) $(BUILT) $(STRATEGY) ## keep server and gateway running: [CONFIG=cpu] [HOST=127.0.0.1]
	@exec $(PY) -m packrank_gateway.serve --config-name "$(CONFIG)" --host $(HOST) --port $(GATEWAY_PORT) \
		--triton-host $(TRITON_HOST) $(PORTS)

model: setup ## build a model: [MODEL=<directory or hub id>] [PRECISION=fp32|auto|bf16|int8|fp16]
	@$(if $(MODEL),:,$(MAKE) --no-print-directory demo-checkpoint)
	@$(if $(filter auto bf16,$(PRECISION)),if grep -qwE '$(BF16_FLAGS)' /proc/cpuinfo; then \
		$(MAKE) --no-print-directory openvino; fi)
	@$(PY) -m packrank_build.make_model --model "$(or $(MODEL),.cache/demo-ranker)" \
		$(if $(REVISION),--revision "$(REVISION)") --precision $(PRECISION) \
		--max-pair-tokens $(MAX_PAIR_TOKENS) --version $(VERSION)

engine: setup-engine ## build a TensorRT plan on this GPU: TARGET=<GPU of docs/gpu.md> [PRECISION=fp16|bf16|fp8]
	@$(PY) -m packrank_build.make_engine --target "$(TARGET)" $(ENGINE_PRECISION) $(if $(MODEL),--model "$(MODEL)")

test: setup-test ## run the tests: [NVIDIA_MODEL=<directory or hub id of the real weights>]
	@$(PY) -m pytest -m "not slow"

check: setup-test ## check lint, format and types with ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

perf: setup $(BUILT) $(STRATEGY) ## load-test with perf_analyzer: [URL=<server>] [CONCURRENCY="1 2 4"]
	@binary=$$($(PY) scripts/provide_perf_analyzer.py) && $(PY) -m benchmarks.serving.perf "$$binary" \
		$(if $(URL),--url "$(URL)") --concurrency $(CONCURRENCY) --requests $(REQUESTS)

evaluate: setup-test $(BUILT) $(STRATEGY) $(if $(DATA),,$(FAQ_SETS)) ## measure what reranking gains: [DATA=<folders>]
	@$(if $(filter e5,$(FIRST_STAGE)),$(PYTHON) scripts/setup_environment.py e5)
	@$(PY) -m packrank_training.evaluation.evaluate $(if $(URL),--url "$(URL)") $(if $(filter e5,$(FIRST_STAGE)),--e5) \
		$(strip $(DATA)) -- $(EVALUATION)

batching: $(STRATEGY) ## compile the batching strategy, which limits batches by tokens (needs a C compiler)

lock: .cache/uv-$(UV)/bin/uv ## pin the packages that pyproject.toml declares: [UPGRADE=1]
	@$(LOCK) pyproject.toml --all-extras $(addprefix --group ,build-backend tritonserver-binary e5) -o requirements.lock
	@cd tests/real_clients && $(LOCK) requirements.in -o requirements.lock

clean: ## remove the built model, the caches and the environments
	rm -rf .venv .venv-* .cache .mypy_cache .ruff_cache .pytest_cache
	git clean -qfdX model_repository

include $(wildcard make/*.mk)
