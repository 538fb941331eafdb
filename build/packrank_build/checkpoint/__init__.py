"""A checkpoint: its architecture, weights and tokenizer."""
