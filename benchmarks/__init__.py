"""What is measured, never asserted: speed and memory, with the machine named."""
