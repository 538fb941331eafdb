"""HTTP in front of the Triton ensemble: NIM, Cohere/Jina, vLLM/infinity and TEI over one rerank call."""
