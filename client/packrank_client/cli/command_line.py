"""The command `rerank`: arguments, output and exit codes."""

from __future__ import annotations

import argparse
import codecs
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from packrank_client._triton.tls import TLS
from packrank_client.cli.batch import answers
from packrank_client.cli.progress import Progress
from packrank_client.cli.table import ranking_table
from packrank_client.client import RerankClient
from packrank_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    RerankError,
    ServerOverloaded,
    ServerUnavailable,
    Unauthorized,
)

EXIT_FAILED = 1
EXIT_INVALID = 2
EXIT_TRY_LATER = 3
EXIT_UNAUTHORIZED = 4
# What a shell reports when the signal itself ends a process: 128 + SIGINT, 128 + SIGPIPE.
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_EPILOG = """\
exit codes:
  0  answered
  1  the server failed, a file cannot be read, or a line of a batch failed
  2  wrong usage or input
  3  the server is unavailable, overloaded or too slow: try again later
  4  not authorized
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        with _client(options) as client:
            return _run_one(client, options) if options.jsonl is None else _run_batch(client, options)
    except RerankError as error:
        return _fail(str(error), _exit_code(error))
    except BrokenPipeError:
        # Python flushes stdout again at exit, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}.", EXIT_FAILED)
    except ValueError as error:
        return _fail(str(error), EXIT_INVALID)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run_one(client: RerankClient, options: argparse.Namespace) -> int:
    if options.query is None:
        raise InvalidRequest("give a query, or --jsonl for a batch; see rerank --help.")
    with _opened(options.file) as file:
        passages = _passages(file.read(), options.file)
    results = client.rerank(options.query, passages, top_n=options.top_n, truncate=options.truncate)
    if options.json:
        records = [asdict(result) | {"passage": passages[result.index]} for result in results]
        _write_json_line({"query": options.query, "results": records})
    else:
        table = ranking_table(results, passages, shutil.get_terminal_size().columns)
        _write_line(table.encode(sys.stdout.encoding, "replace"))
    return 0


def _run_batch(client: RerankClient, options: argparse.Namespace) -> int:
    if options.query is not None:
        raise InvalidRequest("with --jsonl each input line has its query; leave QUERY out.")
    file = _opened(options.jsonl)
    progress = Progress(sys.stderr, os.fstat(file.fileno()).st_size or None)  # a pipe has size 0
    try:
        with closing(answers(client, file, top_n=options.top_n, truncate=options.truncate)) as batch:
            for answer in batch:
                _write_json_line(answer.record)
                progress.advance(answer.line_bytes, failed=answer.failed)
    finally:
        progress.close()
    file.close()  # not after an error: a thread may still be reading, and closing would wait for it
    if progress.failed:
        return _fail(f"{progress.failed} of {progress.lines} lines failed; see their errors.", EXIT_FAILED)
    return 0


def _opened(name: str) -> BinaryIO:
    if name == "-":
        # A separate buffer: at exit Python locks sys.stdin's own buffer, and a thread may still hold that lock.
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    return Path(name).open("rb")


def _passages(content: bytes, name: str) -> list[str]:
    """Split the content into passages, one per line; an empty line is an empty passage."""
    content = content.removeprefix(codecs.BOM_UTF8)  # Windows editors write it
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    try:
        return [line.removesuffix(b"\r").decode("utf-8") for line in lines]
    except UnicodeDecodeError:
        source = "standard input" if name == "-" else name
        raise InvalidRequest(f"{source} is not UTF-8 text; convert it to UTF-8.", kind="invalid_utf8") from None


def _write_json_line(record: dict[str, Any]) -> None:
    # backslashreplace turns a lone surrogate, which UTF-8 cannot hold, into a JSON escape
    _write_line(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def _write_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _client(options: argparse.Namespace) -> RerankClient:
    files = (options.tls_root_certificates, options.tls_private_key, options.tls_certificate_chain)
    return RerankClient(
        options.url or "localhost:8001",
        model=options.model,
        headers=dict(options.header),
        tls=TLS(*files) if options.tls or any(files) else None,
        timeout_s=options.timeout_s,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rerank",
        usage="rerank [options] QUERY [FILE]\n       rerank [options] --jsonl [FILE]",
        description="Rank passages by how well they answer a query.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("query", nargs="?", metavar="QUERY", help="the question")
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="passages, one per line; - is standard input (default)",
    )
    parser.add_argument(
        "--jsonl",
        nargs="?",
        const="-",
        metavar="FILE",
        help='run a batch: each line of FILE or standard input is {"query", "passages"[, "id"]}, '
        'and each line of output is {["id",] "query", "results"} or {["id",] "line", "error"}',
    )
    parser.add_argument("--top-n", type=_at_least_one, metavar="N", help="show only the N best")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--truncate",
        type=str.upper,
        choices=("NONE", "END", "LONGEST_FIRST"),
        default="NONE",
        help="refuse a pair over the limit (NONE, default), cut the passage (END), or the longer text (LONGEST_FIRST)",
    )
    server = parser.add_argument_group("server")
    server.add_argument(
        "--url",
        action="append",
        metavar="HOST:PORT",
        help="gRPC endpoint (default: localhost:8001); repeat it for several, used round robin",
    )
    server.add_argument("--model", default="reranker", help="name of the ensemble (default: %(default)s)")
    server.add_argument(
        "--header",
        action="append",
        type=_header,
        default=[],
        metavar="NAME=VALUE",
        help="header to send with every call; may be repeated",
    )
    server.add_argument(
        "--timeout-s", type=float, default=30.0, metavar="S", help="deadline of each question (default: 30)"
    )
    server.add_argument("--tls", action="store_true", help="encrypt the connection; each of the three files implies it")
    server.add_argument(
        "--tls-root-certificates", metavar="PEM", help="trusted root certificates (default: gRPC's own)"
    )
    server.add_argument("--tls-private-key", metavar="PEM", help="the client's key")
    server.add_argument("--tls-certificate-chain", metavar="PEM", help="the client's certificate")
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("write NAME=VALUE")  # hide the text: it may be a secret
    return name, value


def _exit_code(error: RerankError) -> int:
    if isinstance(error, InvalidRequest):
        return EXIT_INVALID
    if isinstance(error, ServerUnavailable | ServerOverloaded | DeadlineExceeded):
        return EXIT_TRY_LATER
    return EXIT_UNAUTHORIZED if isinstance(error, Unauthorized) else EXIT_FAILED


def _fail(sentence: str, exit_code: int) -> int:
    print(f"rerank: {sentence}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
