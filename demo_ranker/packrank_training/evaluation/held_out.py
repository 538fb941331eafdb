"""Read the evaluation sets that training never sees: Debian's FAQ in ten languages, and Perl's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from packrank_training.sections import Section, sections_from_html, sections_from_pod

SHORTEST_ANSWER = 60  # characters
_SHINGLE_WORDS = 10


def debian_faq(root: Path, language: str = "en") -> dict[str, Section]:
    """Return the questions and answers of debian-faq by anchor, which is the same in all languages.

    `root` is the unpacked package, `language` "en" or a translation's directory ("de", "zh-cn"). Omits chapters
    without text.
    """
    pages = root / "usr/share/doc/debian/FAQ" / ("" if language == "en" else language)
    found = {}
    for page in sorted(pages.glob(f"*.{language}.html")):
        text = re.sub(r'<div class="toc">.*?</div>', " ", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        parts = re.split(r'<h[23] class="title"[^>]*><a id="([^"]+)"></a>', text)
        for anchor, part in zip(parts[1::2], parts[2::2], strict=True):
            for section in islice(sections_from_html(f"<h2>{part}"), 1):
                if len(section.text) >= SHORTEST_ANSWER:
                    found[anchor] = section
    return found


def perlfaq(root: Path) -> list[Section]:
    """Return the questions and answers of perlfaq1 to perlfaq9. `root` is the unpacked perl-doc."""
    pages = sorted(root.glob("usr/share/perl/*/pod/perlfaq[1-9].pod"))
    sections = [
        section
        for page in pages
        for part in re.split(r"(?m)^(?==head2 )", page.read_text(encoding="utf-8"))[1:]
        for section in islice(sections_from_pod(re.sub(r"(?m)^=(?:item|over|back).*$", "", part)), 1)
    ]
    return [section for section in sections if len(section.text) >= SHORTEST_ANSWER]


def held_out_texts(debian_faq_root: Path, perl_doc_root: Path) -> list[str]:
    """Return every text of the English pages, under any heading. No training text may repeat one."""
    html = sorted((debian_faq_root / "usr/share/doc/debian/FAQ").glob("*.en.html"))
    pods = sorted(perl_doc_root.glob("usr/share/perl/*/pod/perlfaq[1-9].pod"))
    sections = [
        *(section for page in html for section in sections_from_html(page.read_text(encoding="utf-8"))),
        *(section for page in pods for section in sections_from_pod(page.read_text(encoding="utf-8"))),
    ]
    return [section.text for section in sections]


def shingles(text: str) -> set[tuple[str, ...]]:
    """Return every ten consecutive words of a text, in lower case and without punctuation."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + _SHINGLE_WORDS]) for at in range(len(words) - _SHINGLE_WORDS + 1)}


def shingles_of(texts: Iterable[str]) -> set[tuple[str, ...]]:
    """Return the shingles of all texts together."""
    return {shingle for text in texts for shingle in shingles(text)}
