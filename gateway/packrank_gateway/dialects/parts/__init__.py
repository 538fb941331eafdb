"""The fields and values that several dialects share."""
