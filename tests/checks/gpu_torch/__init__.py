"""`make check-gpu CONFIG=torch QUICK=1`: what the config `torch` reaches on this GPU, in eight minutes.

No GPU has run it yet. Without one it runs on the CPU with a tiny model, which is how it is rehearsed.
"""
