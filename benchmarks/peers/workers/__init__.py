"""What runs in a process of its own, most of it in a peer's environment, where nothing else is installed."""
