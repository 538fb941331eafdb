"""packrank against other rerankers on a CPU: same weights, same pairs, one run. `python -m benchmarks.peers -h`."""
