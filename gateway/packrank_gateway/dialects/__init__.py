"""One module per API that the gateway speaks."""
