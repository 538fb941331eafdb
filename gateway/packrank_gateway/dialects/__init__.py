"""One module for each API that the gateway speaks, and what they share."""
