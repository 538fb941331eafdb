from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

import packrank_client
from packrank_client.cli.command_line import main
from tests.support.scripted_server import ScriptedServer, SeenRequest, logit_of, refuse_with, scripted_server

PASSAGES = ["apples", "りんご", "", "pears"]


@pytest.fixture
def passages_file(tmp_path: Path) -> str:
    path = tmp_path / "passages.txt"
    path.write_text("apples\r\nりんご\n\npears\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def jsonl_file(tmp_path: Path) -> str:
    path = tmp_path / "questions.jsonl"
    lines = [
        json.dumps({"id": 7, "query": "q", "passages": PASSAGES}, ensure_ascii=False),
        "",
        "{not JSON",
        json.dumps({"id": "\ud800", "query": "q", "passages": ["a", 5]}),
        json.dumps({"query": "r"}),
        json.dumps({"query": "s", "passages": ["a", "b"]}),
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command as a process with pipes."""
    package = str(Path(packrank_client.__file__).parents[1])
    process = subprocess.Popen(
        # a suite in a shell's background ignores SIGINT, and its child processes would inherit that
        ["env", "--default-signal=INT", sys.executable, "-m", "packrank_client.cli.command_line", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": package},
    )
    try:
        with process:
            yield process
            process.wait(30)
    finally:
        process.kill()


def logits(results: list[dict[str, Any]]) -> list[float]:
    return [result["logit"] for result in results]


def test_a_table(server: ScriptedServer, passages_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["q", passages_file, "--url", server.address]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["rank", "score", "logit", "tokens", "passage"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4"]
    best_first = sorted(PASSAGES, key=lambda passage: -logit_of("q", passage))
    assert [float(row.split()[2]) for row in rows] == [logit_of("q", passage) for passage in best_first]
    assert [" ".join(row.split()[4:]) for row in rows] == best_first


def test_json(server: ScriptedServer, passages_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["q", passages_file, "--json", "--top-n", "2", "--truncate", "end", "--url", server.address]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["query"] == "q"
    assert logits(answer["results"]) == sorted((logit_of("q", p) for p in PASSAGES), reverse=True)[:2]
    for result in answer["results"]:
        assert result.keys() == {"index", "logit", "score", "token_count", "truncated", "passage"}
        assert result["passage"] == PASSAGES[result["index"]]
    assert server.seen[0].truncate == "END"


def test_standard_input(server: ScriptedServer) -> None:
    with command("q", "--json", "--header", "X-Key=a=b", "--url", server.address) as process:
        out, err = process.communicate(b"apples\npears")
    assert (process.returncode, err) == (0, b"")
    assert sorted(result["passage"] for result in json.loads(out)["results"]) == ["apples", "pears"]
    assert server.seen[0].headers["x-key"] == "a=b"


def test_a_batch(server: ScriptedServer, jsonl_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--jsonl", jsonl_file, "--top-n", "3", "--url", server.address]) == 1
    captured = capsys.readouterr()
    first, not_json, wrong_type, incomplete, last = map(json.loads, captured.out.splitlines())
    assert (first["id"], first["query"], len(first["results"])) == (7, "q", 3)
    assert first["results"][0].keys() == {"index", "logit", "score", "token_count", "truncated"}
    assert (not_json["line"], not_json["error"]["kind"]) == (3, "invalid_json")
    assert (wrong_type["id"], wrong_type["line"]) == ("\ud800", 4)
    assert wrong_type["error"] == {
        "type": "InvalidRequest",
        "kind": "invalid_type",
        "message": "passages[1] is of type int; send a str.",
        "passage_index": 1,
    }
    assert incomplete["error"]["kind"] == "invalid_json"
    assert last.keys() == {"query", "results"}
    assert logits(last["results"]) == sorted((logit_of("s", p) for p in "ab"), reverse=True)
    assert captured.err == "rerank: 3 of 5 lines failed; see their errors.\n"


def test_a_batch_is_concurrent_and_in_order(
    server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second_answered = threading.Event()

    def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
        if seen.query == "0":
            assert second_answered.wait(30)
        second_answered.set()

    server.script = script
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"query": str(n), "passages": ["a"]}) + "\n" for n in range(200)))
    assert main(["--jsonl", str(path), "--url", server.address]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["query"] for answer in answers] == [str(n) for n in range(200)]
    assert all(logits(answer["results"]) == [logit_of(answer["query"], "a")] for answer in answers)


def test_a_batch_answers_while_its_input_is_open(server: ScriptedServer) -> None:
    with command("--jsonl", "--url", server.address) as process:
        assert process.stdin
        assert process.stdout
        for query in ("first", "second"):
            process.stdin.write(json.dumps({"query": query, "passages": ["a"]}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["query"] == query
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [["--jsonl"], ["q"]], ids=["batch", "one"])
def test_ctrl_c_is_quiet_and_quick(server: ScriptedServer, arguments: list[str]) -> None:
    under_way = threading.Event()

    def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
        under_way.set()
        server.hold(seen, context)

    server.script = script
    with command(*arguments, "--url", server.address, "--timeout-s", "3600") as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(json.dumps({"query": "q", "passages": ["a"]}).encode() + b"\n")
        process.stdin.flush()
        if arguments == ["q"]:
            process.stdin.close()
        assert under_way.wait(30)
        process.send_signal(signal.SIGINT)
        process.wait(30)  # the input of the batch is still open
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")
    assert process.returncode == 130
    assert server.cancelled.acquire(timeout=30)


def test_a_closed_pipe_is_quiet(server: ScriptedServer) -> None:
    with command("--jsonl", "--url", server.address) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.write(json.dumps({"query": "q", "passages": ["a"]}).encode() + b"\n")
        process.stdin.flush()
        process.wait(30)
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (grpc.StatusCode.UNAVAILABLE, 3),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 3),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 3),
        (grpc.StatusCode.UNAUTHENTICATED, 4),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
    ],
)
def test_an_error_is_one_sentence_and_an_exit_code(
    passages_file: str, capsys: pytest.CaptureFixture[str], code: grpc.StatusCode, exit_code: int
) -> None:
    with scripted_server(script=refuse_with(code)) as server:
        assert main(["q", passages_file, "--url", server.address]) == exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rerank: ")
    assert captured.err.count("\n") == 1
    assert "on demand" in captured.err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["q", "absent.txt"], 1, "absent.txt: No such file or directory."),
        (["--jsonl", "absent.jsonl"], 1, "absent.jsonl: No such file or directory."),
        (["q", os.devnull], 2, "passages is empty"),
        (["", os.devnull], 2, "query is empty"),
        ([], 2, "give a query"),
        (["--jsonl", os.devnull, "q"], 2, "leave QUERY out"),
        (["q", os.devnull, "--url", "https://localhost"], 2, "host:port"),
        (["q", os.devnull, "--timeout-s", "nan"], 2, "timeout_s"),
        (["q", os.devnull, "--tls-private-key", "k.pem"], 2, "belong together"),
        (["q", os.devnull, "--tls-root-certificates", "absent.pem"], 1, "absent.pem"),
        (["q", __file__.replace(".py", ".absent")], 1, "No such file"),
    ],
)
def test_mistakes(arguments: list[str], exit_code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == exit_code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_passages_that_are_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "latin1.txt"
    path.write_bytes("pommes d'été".encode("latin-1"))
    assert main(["q", str(path)]) == 2
    assert "not UTF-8" in capsys.readouterr().err


def test_a_byte_order_mark_is_no_text(
    server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, marked = tmp_path / "plain.txt", tmp_path / "marked.txt"
    plain.write_text("apples\npears\n", encoding="utf-8")
    marked.write_text("apples\npears\n", encoding="utf-8-sig")
    answers = []
    for path in (plain, marked):
        assert main(["q", str(path), "--json", "--url", server.address]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]
    assert "\ufeff" not in answers[1]


@pytest.mark.parametrize(
    "arguments", [["q", "--top-n", "0"], ["q", "--truncate", "START"], ["q", "--header", "secret"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "secret" not in capsys.readouterr().err
