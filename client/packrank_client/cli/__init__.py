"""The command `rerank`."""
