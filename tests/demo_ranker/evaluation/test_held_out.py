from pathlib import Path

from packrank_training.evaluation.held_out import debian_faq, perlfaq, shingles, shingles_of
from packrank_training.sources import SOURCES, Source, files_of

ANSWER = "Debian is a distribution of software that is free, made by many people all over the world. "
PAGE = (
    '<body><h2 class="title"><a id="basic"></a>Chapter 1. Basics</h2><div class="toc"><a href="x">1.1 What</a></div>'
    f'<h2 class="title"><a id="what"></a>1.1. What is Debian?</h2><p>{ANSWER}</p></body>'
)


def test_faq_sections_have_the_same_anchors_in_every_language(tmp_path: Path) -> None:
    pages = tmp_path / "usr/share/doc/debian/FAQ"
    (pages / "de").mkdir(parents=True)
    (pages / "basics.en.html").write_text(PAGE)
    (pages / "de" / "basics.de.html").write_text(PAGE.replace("What is Debian", "Was ist Debian"))
    assert {anchor: section.title for anchor, section in debian_faq(tmp_path).items()} == {"what": "What is Debian?"}
    assert debian_faq(tmp_path, "de")["what"].title == "Was ist Debian?"


def test_an_answer_of_perlfaq_keeps_its_list(tmp_path: Path) -> None:
    pages = tmp_path / "usr/share/perl/5.36/pod"
    pages.mkdir(parents=True)
    pod = f"=head1 NAME\n\nperlfaq1\n\n=head2 What is it?\n\n{ANSWER}\n\n=over 4\n\n=item first\n\nitem\n\n=back\n"
    (pages / "perlfaq1.pod").write_text(pod)
    (section,) = perlfaq(tmp_path)
    assert section.title == "What is it?"
    assert section.text == f"{ANSWER}item"


def test_ten_shared_words_reveal_a_copy() -> None:
    held_out = shingles_of([ANSWER])
    assert shingles("As they say, DEBIAN is a distribution of software, that is free: made by ...") & held_out
    assert not shingles("Debian is a distribution of software made by people") & held_out


def test_no_source_reads_a_held_out_file(tmp_path: Path) -> None:
    pods = tmp_path / "perl-doc/usr/share/perl/5.36/pod"
    pods.mkdir(parents=True)
    for name in ("perlfaq4", "perlrun", "perl5360delta"):
        (pods / f"{name}.pod").touch()
    (perl,) = (source for source in SOURCES if source.package == "perl-doc")
    assert [path.name for path in files_of(perl, tmp_path)] == ["perlrun.pod"]
    faq = tmp_path / "debian-faq/usr/share/doc/debian/FAQ/a.en.html"
    faq.parent.mkdir(parents=True)
    faq.touch()
    assert files_of(Source("debian-faq", "", "html", "**/*.html"), tmp_path) == []
    assert not any(source.package.startswith("debian-faq") for source in SOURCES)
