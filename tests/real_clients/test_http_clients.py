"""HTTP clients of other languages, as they come: the JDK's, Node's fetch and curl."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import PASSAGES, QUERY, Expected

BODY = json.dumps({"query": QUERY, "texts": PASSAGES})
FETCH = """
const [url, body] = process.argv.slice(1);
const options = { method: "POST", headers: { "content-type": "application/json" }, body };
const answer = await (await fetch(url, options)).json();
console.log(JSON.stringify(answer));
"""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run(*command: str | Path, content: bytes | None = None) -> str:
    done = subprocess.run(command, capture_output=True, check=False, timeout=120, input=content)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def check(answer: str, expected: Expected) -> None:
    assert [rank["index"] for rank in json.loads(answer)] == expected.order


@needs("javac")
def test_the_jdks_http_client(url: str, expected: Expected) -> None:
    status, _, answer = run("java", Path(__file__).with_name("Rerank.java"), f"{url}/rerank", BODY).partition("\n")
    assert status == "200 HTTP_1_1"
    check(answer, expected)


@needs("node")
def test_nodes_fetch(url: str, expected: Expected) -> None:
    check(run("node", "--input-type=module", "-e", FETCH, f"{url}/rerank", BODY), expected)


@needs("curl")
@pytest.mark.parametrize(
    "flags", [["--http2"], ["--http1.0"], ["-H", "expect: 100-continue"], ["-H", "transfer-encoding: chunked"]]
)
def test_curl(url: str, expected: Expected, flags: list[str]) -> None:
    check(run("curl", "-sS", f"{url}/rerank", "--json", BODY, *flags), expected)


@needs("curl")
def test_curl_with_a_gzip_body(url: str, expected: Expected) -> None:
    headers = ["-H", "content-type: application/json", "-H", "content-encoding: gzip"]
    command = ["curl", "-sS", f"{url}/rerank", *headers, "--data-binary", "@-"]
    check(run(*command, content=gzip.compress(BODY.encode())), expected)
