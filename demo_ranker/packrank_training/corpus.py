"""Select training and development documents from unpacked packages."""

from __future__ import annotations

import gzip
import random
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packrank_training.evaluation.held_out import shingles
from packrank_training.sections import Section, one_line, sections_from_html, sections_from_mallard, sections_from_pod
from packrank_training.sources import SOURCES, Source, files_of

SHORTEST_TEXT = 120  # characters
LONGEST_TEXT = 1500
LONGEST_TITLE = 110
_VAGUE_TEXT = (
    "description|options|notes|note|introduction|overview|example|examples|see also|parameters|arguments|syntax|"
    "summary|usage|commands|general|return value|synopsis|details|other|contents|index|about|conclusion|warning|tip|"
    "important|caution|related topics|prerequisites|abstract|features|bugs|author|authors|copyright|references|"
    "activating the command|activate the command|getting help|rationale|compatibility|history|license"
)
_VAGUE = frozenset(_VAGUE_TEXT.split("|"))


@dataclass(frozen=True)
class Document:
    """A passage, its title (the heading or description that it answers) and its package."""

    title: str
    text: str
    package: str


def documents(source: Source, unpacked: Path) -> Iterator[Document]:
    """Yield the usable sections of a source, in the order of its files."""
    for path in files_of(source, unpacked):
        for section in _sections(source, path):
            if is_usable(section) and (" " in section.title or source.kind == "dictionary"):
                yield Document(section.title, section.text[:LONGEST_TEXT], source.package)


def is_usable(section: Section) -> bool:
    """Return whether the heading stands alone as a subject and the text is long enough to answer it."""
    title = section.title
    if len(section.text) < SHORTEST_TEXT or not 3 < len(title) <= LONGEST_TITLE or title.lower().strip(":.") in _VAGUE:
        return False
    words = re.findall(r"[A-Za-z]{2,}", title)
    letters = sum(len(word) for word in words)
    return bool(words) and letters >= 0.6 * len(title.replace(" ", "")) and not re.search(r"[(){}=◆]|--|::|_", title)


def package_descriptions(lists: Path) -> list[Document]:
    """Return short and long descriptions from apt's Translation-en file of Debian's main archive."""
    # The largest list is the release's own; -updates and -security are small.
    path = max(lists.glob("*_main_i18n_Translation-en*"), key=lambda each: each.stat().st_size)
    index = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(path)], check=True, capture_output=True).stdout
    found = []
    for stanza in index.decode("utf-8").split("\n\n"):
        name = re.search(r"^Package: (.*)$", stanza, re.MULTILINE)
        description = re.search(r"^Description-en: (.*)\n((?: .*\n?)*)", stanza, re.MULTILINE)
        if not name or not description or re.search(r"-(dev|dbg|doc|data|common|dbgsym|l10n)$|^lib.*\d$", name[1]):
            continue
        text = one_line(re.sub(r"^ \.$", "", description[2], flags=re.MULTILINE))
        if len(text) >= SHORTEST_TEXT:
            found.append(Document(description[1].strip(), text[:LONGEST_TEXT], "package index"))
    return found


def training_documents(unpacked: Path, lists: Path, held_out: set[tuple[str, ...]]) -> list[Document]:
    """Return every document that training may use.

    Omits development sources, duplicates, and texts that share ten consecutive words with a held-out text.
    """
    chosen: list[Document] = []
    for source in SOURCES:
        if source.development:
            continue
        rng = random.Random(f"corpus {source.package}")
        # `most` should keep the headings that are questions: answering questions is what the model is for.
        found = sorted(_distinct(documents(source, unpacked)), key=lambda each: (each.title[-1] != "?", rng.random()))
        chosen += found[: source.most]
    chosen += package_descriptions(lists)
    return [each for each in _distinct(chosen) if not shingles(each.text) & held_out]


def development_documents(unpacked: Path) -> list[Document]:
    """Return the documents of the development sources."""
    return _distinct(document for source in SOURCES if source.development for document in documents(source, unpacked))


def _distinct(found: Iterable[Document]) -> list[Document]:
    by_start: dict[str, Document] = {}
    for document in found:
        by_start.setdefault(document.text[:150], document)
    return list(by_start.values())


def _sections(source: Source, path: Path) -> Iterator[Section]:
    if source.kind == "dictionary":
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as dictionary:
            yield from _entries(dictionary.read())
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    yield from {"html": sections_from_html, "pod": sections_from_pod, "mallard": sections_from_mallard}[source.kind](
        text
    )


def _entries(dictionary: str) -> Iterator[Section]:
    """Yield the entries of a dictd dictionary: a headword at the start of a line, then indented text."""
    for entry in re.split(r"\n(?=\S[^\n]*\n\n? +<)", dictionary):
        word, _, text = entry.partition("\n")
        text = re.sub(r"\[\{Jargon File\}\]|\(\d{4}-\d\d-\d\d\)|<[a-z, ]+>|[{}]", "", text)
        yield Section(one_line(word), one_line(text))
