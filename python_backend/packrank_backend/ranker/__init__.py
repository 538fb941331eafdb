"""The rankers that run in Python, and what they run on."""
