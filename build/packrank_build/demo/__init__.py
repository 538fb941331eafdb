"""The demo ranker, from its package and adapters."""
