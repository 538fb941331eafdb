"""LlamaBidirectionalForSequenceClassification for stock transformers, as remote code of the peers' checkpoint.

vLLM has its own class of this name. The other peers find this file beside `config.json`, through its `auto_map`.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutputWithPast

# From release 5 on, `is_causal: false` in the config suffices.
NEEDS_MASK = int(transformers.__version__.partition(".")[0]) < 5


class LlamaBidirectionalConfig(LlamaConfig):  # type: ignore[misc]
    """Llama's config with the model type of NVIDIA's checkpoints."""

    model_type = "llama_bidirec"


class LlamaBidirectionalForSequenceClassification(LlamaPreTrainedModel):  # type: ignore[misc]
    """Score a pair from the mean of its last hidden states."""

    config_class = LlamaBidirectionalConfig

    def __init__(self, config: LlamaBidirectionalConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score = torch.nn.Linear(config.hidden_size, 1, bias=False)
        self.post_init()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any
    ) -> SequenceClassifierOutputWithPast:
        """Return logits [pairs, 1]; input_ids and attention_mask are INT64 [pairs, longest], padded."""
        visible = attention_mask
        if NEEDS_MASK:
            longest = input_ids.shape[1]
            visible = attention_mask.bool()[:, None, None, :].expand(-1, 1, longest, longest)
        hidden = self.model(input_ids=input_ids, attention_mask=visible, use_cache=False).last_hidden_state
        mask = attention_mask[..., None].to(hidden.dtype)
        pooled = (hidden * mask).sum(dim=1, dtype=torch.float32) / attention_mask.sum(dim=1, keepdim=True)
        return SequenceClassifierOutputWithPast(logits=self.score(pooled.to(hidden.dtype)))
