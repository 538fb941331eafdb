"""Low precision as passes over a written graph."""
