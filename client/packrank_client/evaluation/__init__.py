"""How much does reranking help on one's own data? The command `rerank-evaluate` (extra `evaluate`)."""
