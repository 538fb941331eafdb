# Checks beyond `make check` and `make test`.

.PHONY: check-slow check-goldens check-clients check-full-size check-engine engine-check

TOKENIZER = $$($(PY) scripts/fetch_package.py test-tokenizer)

check-slow: setup-test ## run the tests of restarts, hangs and the container, which take minutes
	@$(PY) -m pytest -m slow

check-goldens: setup-test setup-torch $(BUILT) $(STRATEGY) $(FAQ_SETS) ## compare scores with torch: [UPDATE=1]
ifdef UPDATE
	@.venv-torch/bin/python -m tests.goldens.huggingface "$(TOKENIZER)"
else
	@.venv-torch/bin/python -m tests.goldens.huggingface --check "$(TOKENIZER)"
	@.venv-torch/bin/python -m tests.goldens.gguf_base "$$($(PY) scripts/fetch_package.py default-model)"
	@$(PY) -m packrank_training.evaluation.evaluate $(SETS)/debian-faq-en -- \
		--queries 15 --depth 20 --restart --output .cache/evaluation/golden
	@.venv-torch/bin/python -m tests.goldens.evaluation $(SETS)/debian-faq-en .cache/evaluation/golden
	@.venv-torch/bin/python -m pytest -q tests/checks/gpu/test_padding.py \
		tests/checks/gpu_torch tests/backend/ranker/test_torch_ranker.py tests/backend/ranker/test_openvino_graph.py
	@$(PY) -m pytest -q tests/integration/test_torch_config.py
endif

check-clients: setup-test setup-clients ## run other people's clients against the gateway (installs 1.2 GB)
	@$(PY) -m tests.real_clients.run "$(TOKENIZER)"

check-full-size: setup-test ## build and serve random weights of Llama-3.2-1B's shape; print peak memory
	@$(PY) -m tests.checks.full_size "$(TOKENIZER)"

check-engine: setup-test ## build every target's engine without a GPU and report its memory: [PRECISION=fp16|bf16|fp8]
	@$(PY) -m tests.checks.engine $(ENGINE_PRECISION)

# the name in release 0.1.0
engine-check: check-engine
