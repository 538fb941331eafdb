"""Write the training and development questions with their candidates and teacher scores.

python -m packrank_training.prepare .cache/training
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from packrank_training.corpus import Document, development_documents, training_documents
from packrank_training.evaluation.held_out import held_out_texts, shingles_of
from packrank_training.examples import Example
from packrank_training.first_stage import Bm25
from packrank_training.questions import question_from_description, question_from_heading, question_from_passage
from packrank_training.teacher import Teacher

SEED = 6
# Documents per group, on top of every heading that is a question. The teacher reads each one, and e5's engine embeds
# only about 14 passages per second and core.
HEADED, DEFINED, DESCRIBED = 2200, 350, 1300
CLOZE = 1200  # attempts; some documents have no sentence that could be a question
BATCH = 16  # questions per teacher batch
CANDIDATES = 20  # per development question, from BM25
FROM_SAME_PACKAGE, FROM_ANYWHERE, AT_RANDOM = 2, 2, 1  # negatives per training question
HARDEST = 15  # hard negatives come from these first ranks of BM25
SHORTEST_CUT, LONGEST_CUT = 180, 480  # characters per passage


@dataclass(frozen=True)
class Draft:
    """A question and the index of its document.

    `passage` answers the question; None means the document's own passage does.
    """

    question: str
    document: int
    passage: str | None = None


def cut(text: str, characters: int) -> str:
    """Return at most `characters` of the text's beginning, cut between words."""
    return text if len(text) <= characters else text[: text.rfind(" ", 0, characters + 1)]


def choose_documents(documents: Sequence[Document], rng: random.Random) -> list[Document]:
    """Return all documents whose heading is a question, and a sample of the others that the teacher can read."""
    groups: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        groups["asked" if document.title.endswith("?") else document.package].append(document)
    described, defined = groups.pop("package index"), groups.pop("dict-foldoc")
    asked = groups.pop("asked")
    headed = [document for package in sorted(groups) for document in groups[package]]
    return [*asked, *rng.sample(headed, HEADED), *rng.sample(defined, DEFINED), *rng.sample(described, DESCRIBED)]


def drafts(documents: Sequence[Document], rng: random.Random) -> list[Draft]:
    """Return the training questions in training order. Headings that are questions come three times."""
    found = []
    for place, document in enumerate(documents):
        if document.title.endswith("?"):
            found += [Draft(document.title, place)] * 3
        elif document.package == "package index":
            found.append(Draft(question_from_description(document.title, rng), place))
        else:
            found.append(Draft(question_from_heading(document.title, rng), place))
    for place in rng.sample(range(len(documents)), min(CLOZE, len(documents))):
        cloze = question_from_passage(documents[place].text, rng)
        if cloze:
            found.append(Draft(cloze[0], place, cloze[1]))
    rng.shuffle(found)
    return found


def choose_negatives(
    draft: Draft,
    documents: Sequence[Document],
    anywhere: Bm25,
    same: dict[str, tuple[Bm25, list[int]]],
    rng: random.Random,
) -> list[int]:
    """Choose documents that BM25 confuses with the answer, in its package and anywhere, and one at random.

    `same` holds each package's own index with the places of its documents. Returns indices of documents.
    """
    index, places = same[documents[draft.document].package]
    near = [places[rank] for rank in index.best(draft.question, HARDEST + 1)]
    far = anywhere.best(draft.question, HARDEST + 1)
    chosen: list[int] = []
    for candidates, count in ((near, FROM_SAME_PACKAGE), (far, FROM_ANYWHERE)):
        free = [place for place in candidates if place != draft.document and place not in chosen]
        chosen += rng.sample(free, min(count, len(free)))
    while len(chosen) < FROM_SAME_PACKAGE + FROM_ANYWHERE + AT_RANDOM:
        place = rng.randrange(len(documents))
        if place != draft.document and place not in chosen:
            chosen.append(place)
    return chosen


def training_examples(documents: Sequence[Document]) -> Iterator[Example]:
    """Yield the training set without the teacher's scores: the answer first, then five negatives."""
    rng = random.Random(SEED)
    documents = choose_documents(documents, rng)
    passages = [cut(document.text, rng.randint(SHORTEST_CUT, LONGEST_CUT)) for document in documents]
    anywhere = Bm25(passages)
    by_package: dict[str, list[int]] = defaultdict(list)
    for place, document in enumerate(documents):
        by_package[document.package].append(place)
    same = {package: (Bm25([passages[place] for place in places]), places) for package, places in by_package.items()}
    for draft in drafts(documents, rng):
        negatives = choose_negatives(draft, documents, anywhere, same, rng)
        answer = passages[draft.document] if draft.passage is None else cut(draft.passage, LONGEST_CUT)
        scores = anywhere.scores(draft.question)
        bm25 = [float(scores[place]) for place in (draft.document, *negatives)]
        yield Example(draft.question, [answer, *[passages[place] for place in negatives]], 0, [], bm25)


def development_examples(documents: Sequence[Document]) -> Iterator[Example]:
    """Yield every question of the development sources with BM25's best passages.

    Omits questions whose answer is not among them.
    """
    passages = [cut(document.text, 600) for document in documents]
    index = Bm25(passages)
    for place, document in enumerate(documents):
        best = index.best(document.title, CANDIDATES)
        if document.title.endswith("?") and place in best:
            scores = index.scores(document.title)
            bm25 = [float(scores[each]) for each in best]
            yield Example(document.title, [passages[each] for each in best], best.index(place), [], bm25)


def write_taught(examples: Sequence[Example], teacher: Teacher, path: Path) -> None:
    """Add the teacher's scores and write the examples as JSON lines, batch by batch, so that train can read along."""
    start = time.monotonic()
    digest = hashlib.sha256()
    with path.open("w", encoding="utf-8") as lines:
        for at in range(0, len(examples), BATCH):
            batch = examples[at : at + BATCH]
            teacher.learn([each.question for each in batch], [text for each in batch for text in each.passages])
            for each in batch:
                taught = replace(each, e5=teacher.similarities(each.question, each.passages))
                line = json.dumps(asdict(taught), ensure_ascii=False) + "\n"
                lines.write(line)
                digest.update(line.encode())
            lines.flush()
            if at // BATCH % 20 == 0:
                seconds = time.monotonic() - start
                print(f"  {at + len(batch):,} of {len(examples):,} questions, {seconds:.0f} s", flush=True)
                teacher.save()
    teacher.save()
    print(f"{path.name}: {len(examples):,} questions, sha256 {digest.hexdigest()}", flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    unpacked = directory / "unpacked"
    teacher = Teacher(directory / "e5.npz")
    development = list(development_examples(development_documents(unpacked)))
    write_taught(development, teacher, directory / "development.jsonl")
    print("reading the training documents", flush=True)
    held_out = shingles_of(held_out_texts(unpacked / "debian-faq", unpacked / "perl-doc"))
    documents = training_documents(unpacked, directory / "lists", held_out)
    print(f"choosing negatives from {len(documents):,} documents", flush=True)
    write_taught(list(training_examples(documents)), teacher, directory / "training.jsonl")


if __name__ == "__main__":
    main()
