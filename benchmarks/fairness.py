"""How long one caller waits while another one loops large requests.

    python -m benchmarks.fairness --url http://localhost:8080

Both callers come from addresses of their own (127.0.0.2 and 127.0.0.3), so the gateway tells them apart without keys.
Prints one row for each: the light caller alone, and beside the heavy one. A third row gives the time of one batch.
"""

from __future__ import annotations

import argparse
import threading
import time
from typing import Any

import httpx
import numpy as np

from benchmarks.workload import QUERY, mixed_questions

# about 100 tokens each
PASSAGES = [passage for question in mixed_questions(120) for passage in question.passages]
HEAVY_PASSAGES = 500
# the CPU config's max_batch_tokens, at 100 tokens a passage
BATCH_PASSAGES = 40


def client(url: str, address: str) -> httpx.Client:
    """Connect from an address of this machine."""
    return httpx.Client(base_url=url, transport=httpx.HTTPTransport(local_address=address), timeout=300)


def ask(http: httpx.Client, passages: list[str]) -> float:
    """Return the seconds of one request."""
    started_s = time.perf_counter()
    body: dict[str, Any] = {"query": QUERY, "texts": passages}
    http.post("/rerank", json=body, headers={"x-request-timeout-s": "300"}).raise_for_status()
    return time.perf_counter() - started_s


def times(http: httpx.Client, requests: int) -> list[float]:
    """Ask `requests` single-passage requests, one after another."""
    return [ask(http, PASSAGES[number : number + 1]) for number in range(requests)]


def row(name: str, seconds: list[float]) -> str:
    """Write median and 95th percentile in milliseconds."""
    median, p95 = np.percentile(seconds, [50, 95]) * 1e3
    return f"{name:<22} {len(seconds):>8} {median:>10.0f} {p95:>10.0f}"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("--requests", type=int, default=20)
    options = parser.parse_args()
    with client(options.url, "127.0.0.2") as light, client(options.url, "127.0.0.3") as heavy:
        times(light, 5)
        alone = times(light, options.requests)
        batch = [ask(light, PASSAGES[:BATCH_PASSAGES]) for _ in range(3)]
        over = threading.Event()
        heavy_times: list[float] = []

        def loop() -> None:
            while not over.is_set():
                heavy_times.append(ask(heavy, PASSAGES[:HEAVY_PASSAGES]))

        looping = threading.Thread(target=loop)
        looping.start()
        time.sleep(2)
        beside = times(light, options.requests)
        over.set()
        looping.join()
    print(f"{'':<22} {'requests':>8} {'p50 ms':>10} {'p95 ms':>10}")
    print(row("light, alone", alone))
    print(row("light, beside heavy", beside))
    print(row("one batch", batch))
    print(row("heavy, 500 passages", heavy_times))


if __name__ == "__main__":
    main()
