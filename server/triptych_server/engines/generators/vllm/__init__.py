"""Language models on vLLM, through its OpenAI-compatible API."""
