# Measure: `bench-*` write a report to benchmarks/results; `check-speed` and `check-gpu` also judge.

# the checkpoint of bench-fidelity and bench-peers
BENCH_MODEL = $(or $(MODEL),.cache/demo-ranker)
# options of any bench target: make bench-peers BENCH="--mix uniform --rounds 1"
BENCH ?=

.PHONY: bench-serving bench-scaling bench-memory bench-settings bench-fidelity bench-peers bench-precisions
.PHONY: check-speed check-gpu gpu-check

bench-serving: setup-test $(BUILT) $(STRATEGY) ## compare the server with the bare ranker, then raise the load
	@$(PY) -m benchmarks.serving $(BENCH)

bench-scaling: setup-test $(BUILT) ## measure processor time per token, and what padding would waste
	@$(PY) -m benchmarks.scaling $(BENCH)

bench-memory: setup-test $(BUILT) $(STRATEGY) ## measure the memory of server and gateway, idle to overloaded
	@$(PY) -m benchmarks.memory $(BENCH)

bench-settings: setup-test $(BUILT) $(STRATEGY) ## vary the CPU ranker's threads, limits and instances
	@$(PY) -m benchmarks.settings $(BENCH)

bench-fidelity: setup-test demo-checkpoint $(FAQ_SETS) $(LONG_SET) ## measure what low precision does to scores
	@$(PY) -m benchmarks.fidelity "$(BENCH_MODEL)" $(SETS) $(BENCH)

bench-peers: setup-test demo-checkpoint ## compare with vLLM and others (hours, 9 GB)
	@$(PYTHON) scripts/setup_environment.py peers-transformers peers-openvino peers-infinity peers-vllm
	@$(PY) -m benchmarks.peers prepare "$(BENCH_MODEL)"
	@$(PY) -m benchmarks.peers measure $(BENCH)

# the name in release 0.1.0
bench-precisions: bench-fidelity

check-speed: setup-test $(BUILT) $(STRATEGY) ## fail if the built model has become slower
	@$(PYTHON) scripts/setup_environment.py peers-transformers
	@$(PY) -m tests.checks.speed

ifeq ($(CONFIG),torch)
check-gpu: setup-gpu-torch demo-checkpoint ## on a GPU: serve, measure: CONFIG=<target>|torch [PRECISION=] [MINUTES=8]
	@$(PY) scripts/fetch_package.py test-tokenizer >/dev/null
	@.venv-gpu-torch/bin/python -m tests.checks.gpu_torch --minutes $(or $(MINUTES),8)
else
check-gpu: setup-gpu $(BUILT) $(STRATEGY)
	@$(if $(NO_HUGGINGFACE),:,$(PYTHON) scripts/setup_environment.py torch)
	@binary=$$($(PY) scripts/provide_perf_analyzer.py) && $(PY) -m tests.checks.gpu "$$binary" \
		--config "$(CONFIG)" $(ENGINE_PRECISION) $(if $(NO_BUILD),--no-build) $(if $(NO_HUGGINGFACE),--no-huggingface)
endif

# the name in release 0.1.0
gpu-check: check-gpu
