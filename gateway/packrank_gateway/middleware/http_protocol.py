"""uvicorn's HTTP/1.1 protocol, except that an offer to upgrade is ignored.

RFC 9110, section 7.8: a server may ignore Upgrade and answer over the protocol in use. Java's HttpClient offers h2c
with every first request. httptools stops at such a request and drops its body, so the request is read again without
the offer, by a parser of its own. Other requests pay nothing for this. uvicorn's `h11` ignores the offer too, but takes
0.16 ms more of the processor for a request of 10 passages.
"""

from __future__ import annotations

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# HTTP2-Settings belongs to the offer (RFC 7540, section 3.2.1).
_OFFER = frozenset({b"upgrade", b"http2-settings"})


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    _offer_is_read = False

    def on_headers_complete(self) -> None:
        """Start the request, unless it offers an upgrade: then `data_received` reads it again."""
        if self._offers_upgrade():
            self._offer_is_read = True
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; httptools has none for an offer."""
        if not self._offer_is_read:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body, except of a request that is about to be read again."""
        if not self._offer_is_read:
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            self._read_again(data[stop.args[0] :])
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)

    def _offers_upgrade(self) -> bool:
        # CONNECT always switches protocols; it is no offer
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _read_again(self, rest: bytes) -> None:
        """Feed the head without its offer to a new parser, then what came after the head."""
        if not self._offer_is_read:
            self.send_400_response("Unsupported method.")
            return
        self._offer_is_read = False
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        for name, value in self.headers:
            kept = _without_offer(value) if name == b"connection" else value
            if name not in _OFFER and kept:
                head.append(name + b": " + kept)
        self.parser = _parser(self)
        self.data_received(b"\r\n".join(head) + b"\r\n\r\n" + rest)


def _without_offer(connection: bytes) -> bytes:
    options = [option.strip() for option in connection.split(b",")]
    return b", ".join(option for option in options if option.lower() not in _OFFER)


def _parser(protocol: HttpProtocol) -> Any:
    parser = httptools.HttpRequestParser(protocol)
    # as uvicorn does for its own
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
