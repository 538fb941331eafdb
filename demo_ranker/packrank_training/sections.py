"""Split packaged documentation into sections: a heading and the text up to the next heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from xml.etree import ElementTree

_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "dt"})
_SILENT = frozenset({"script", "style", "nav", "head", "button", "footer"})
_MOST_LINKED = 0.4  # share of linked characters above which a section counts as a table of contents


@dataclass(frozen=True)
class Section:
    """A heading and its text, both on one line."""

    title: str
    text: str


def sections_from_html(page: str) -> Iterator[Section]:
    """Yield the sections of a page, without navigation, tables of contents and heading numbers."""
    reader = _HtmlSections()
    reader.feed(page)
    reader.close()
    reader.end_section()
    yield from reader.sections


def sections_from_pod(document: str) -> Iterator[Section]:
    """Yield the sections of Perl's POD: each =head or =item with the text below it."""
    for part in re.split(r"^=(?:head[1-4]|item) ", document, flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        text = re.sub(r"^=.*$", "", text, flags=re.MULTILINE)
        yield Section(one_line(_without_pod_codes(title)), one_line(_without_pod_codes(text)))


def sections_from_mallard(page: str) -> Iterator[Section]:
    """Yield a GNOME help page as one section: its title, then its description and text."""
    root = ElementTree.fromstring(page)  # noqa: S314  (a file of a signed Debian package)
    namespace = "{http://projectmallard.org/1.0/}"
    title = root.find(f"{namespace}title")
    if title is None:
        return
    description = root.find(f"{namespace}info/{namespace}desc")
    parts = [] if description is None else ["".join(description.itertext())]
    for element in root:
        if element.tag not in (f"{namespace}title", f"{namespace}info"):
            parts.append(" ".join(element.itertext()))
    yield Section(one_line("".join(title.itertext())), one_line(" ".join(parts)))


def one_line(text: str) -> str:
    """Replace every run of white space by one space."""
    return re.sub(r"\s+", " ", text).strip()


def _without_pod_codes(text: str) -> str:
    """Replace `C<print>` by print and `L<text|target>` by text, innermost first."""
    text = re.sub(r"[A-Z]<<+ (.*?) >+>", r"\1", text)
    for _ in range(3):
        text = re.sub(r"[A-Z]<(?:([^<>|]*)\|)?([^<>]*)>", lambda code: code[1] or code[2], text)
    return text.replace("E<lt>", "<").replace("E<gt>", ">")


class _HtmlSections(HTMLParser):
    """Collect the sections of one HTML page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: list[Section] = []
        self._title: list[str] = []
        self._text: list[str] = []
        self._linked_characters = 0
        self._in_heading = False
        self._links = 0
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HEADINGS:
            self.end_section()
            self._in_heading = True
        elif tag in _SILENT or ("class", "headerlink") in attrs:
            self._silent += tag in _SILENT
            self._title += ["\0"] if tag == "a" and self._in_heading else []
        elif tag == "a":
            self._links += 1
        if tag in ("p", "div", "li", "br", "td", "dd", "tr", "pre"):
            (self._title if self._in_heading else self._text).append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._in_heading = False
        elif tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == "a":
            self._links = max(0, self._links - 1)

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if self._in_heading:
            self._title.append(data)
            return
        self._text.append(data)
        if self._links:
            self._linked_characters += len(data.strip())

    def end_section(self) -> None:
        title, text = _heading("".join(self._title)), one_line("".join(self._text))
        if title and text and self._linked_characters <= _MOST_LINKED * len(text):
            self.sections.append(Section(title, text))
        self._title, self._text, self._linked_characters, self._in_heading = [], [], 0, False


def _heading(text: str) -> str:
    """Remove the permalink sign, and a leading number, "Q:" or "Chapter 3."."""
    text = one_line(re.split("[\0¶]", text)[0]).strip("# ")
    return re.sub(
        r"^(?:(?:chapter|appendix|section|part)\s+)?(?:[A-Z]?\d+(?:[.\-]\d+)*[.):]?|[A-Z]\.|Q[:.])\s+",
        "",
        text,
        flags=re.I,
    )
