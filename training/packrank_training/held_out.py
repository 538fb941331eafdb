"""The evaluation sets, English: Debian's FAQ and Perl's. Read to be kept out of training, and to be reported on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from packrank_training.sections import Section, sections_from_html, sections_from_pod

_SHINGLE_WORDS = 10


def debian_faq(unpacked: Path) -> list[Section]:
    """Question and answer sections of debian-faq, English."""
    pages = sorted((unpacked / "debian-faq/usr/share/doc/debian/FAQ").glob("*.en.html"))
    sections = [
        section
        for page in pages
        if "index" not in page.name
        for section in sections_from_html(page.read_text(encoding="utf-8"))
    ]
    return list(dict.fromkeys(sections))


def perlfaq(unpacked: Path) -> list[Section]:
    """Question and answer sections of perlfaq1 to perlfaq9."""
    pages = sorted((unpacked / "perl-doc").glob("usr/share/perl/*/pod/perlfaq[1-9].pod"))
    return [section for page in pages for section in sections_from_pod(page.read_text(encoding="utf-8"))]


def shingles(text: str) -> set[tuple[str, ...]]:
    """Every run of ten words of a text, in lower case and without punctuation."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + _SHINGLE_WORDS]) for at in range(len(words) - _SHINGLE_WORDS + 1)}


def shingles_of(sections: Iterable[Section]) -> set[tuple[str, ...]]:
    """The shingles of all sections' texts together."""
    return {shingle for section in sections for shingle in shingles(section.text)}
