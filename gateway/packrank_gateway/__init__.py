"""The HTTP gateway to the Triton ensemble, in the dialects of NIM, Cohere, Jina, vLLM, infinity and TEI."""
