"""Which precision serves a checkpoint best on this processor."""
