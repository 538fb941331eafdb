"""List the Debian packages with the training texts, and their licences from debian/copyright."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["html", "pod", "mallard", "dictionary"]


@dataclass(frozen=True)
class Source:
    """A Debian package, which of its files to read, and the most sections to use."""

    package: str
    licence: str
    kind: Kind
    files: str  # a glob in the unpacked package
    most: int = 700
    development: bool = False  # for the development set only, never for training


SOURCES = (
    Source("apache2-doc", "Apache-2.0", "html", "usr/share/doc/apache2-doc/manual/en/**/*.html"),
    Source("apt-doc", "GPL-2+", "html", "usr/share/doc/**/*.en.html"),
    Source("aptitude-doc-en", "GPL-2+", "html", "usr/share/doc/aptitude/html/en/*.html"),
    Source("bash-doc", "GFDL-1.3+", "html", "usr/share/doc/bash-doc/bashref.html", 250),
    Source("debian-handbook", "CC-BY-SA-3.0 or GPL-2+", "html", "usr/share/doc/debian-handbook/html/en-US/*.html"),
    Source("debian-history", "GPL-2+", "html", "usr/share/doc/debian-history/docs/*.en.html"),
    Source("debian-policy", "GPL-2+", "html", "usr/share/doc/debian-policy/policy.html/*.html"),
    Source("debian-reference-en", "GPL-2+", "html", "usr/share/debian-reference/*.en.html"),
    Source("developers-reference", "GPL-2+", "html", "usr/share/developers-reference/*.html"),
    Source("exim4-doc-html", "GPL-2+", "html", "usr/share/doc/exim4-doc-html/spec_html/ch*.html", 400),
    Source("fetchmail", "GPL-2+", "html", "usr/share/doc/fetchmail/fetchmail-FAQ.html", development=True),
    Source("gimp-help-en", "GFDL-1.2+", "html", "usr/share/gimp/2.0/help/en/*.html", 1200),
    Source("git-doc", "GPL-2", "html", "usr/share/doc/git-doc/*.html"),
    Source("gnome-user-docs", "CC-BY-SA-3.0", "mallard", "usr/share/help/C/*/*.page"),
    Source("harden-doc", "GPL-2", "html", "usr/share/doc/harden-doc/html/en-US/*.html"),
    Source("installation-guide-amd64", "GPL-2", "html", "usr/share/doc/installation-guide-amd64/en/*.html"),
    Source("libreoffice-help-en-us", "MPL-2.0", "html", "usr/share/libreoffice/help/en-US/text/**/*.html", 1500),
    Source("libstdc++-12-doc", "GFDL-1.3+", "html", "usr/share/doc/gcc-12-base/libstdc++/*faq.html"),
    Source("live-manual-html", "GPL-3+", "html", "usr/share/doc/live-manual/html/live-manual.en.html"),
    Source("maint-guide", "GPL-2+", "html", "usr/share/doc/maint-guide/**/*.en.html"),
    Source("ntpsec-doc", "NTP and BSD", "html", "usr/share/doc/ntpsec-doc/html/*.html", 300),
    Source("octave-doc", "GPL-3+", "html", "usr/share/doc/octave/octave.html/*.html", 400),
    Source("perl-doc", "Artistic or GPL-1+", "pod", "usr/share/perl/*/pod/*.pod", 1500),
    Source("postfix-doc", "IPL-1.0 or EPL-2.0", "html", "usr/share/doc/postfix/html/*.html", 500),
    Source("postgresql-doc-15", "PostgreSQL", "html", "usr/share/doc/postgresql-doc-15/html/*.html", 1500),
    Source("privoxy", "GPL-2+", "html", "usr/share/doc/privoxy/faq/*.html", development=True),
    Source("python-django-doc", "BSD-3-Clause", "html", "usr/share/doc/python-django-doc/html/**/*.html", 1500),
    Source("python3.11-doc", "PSF-2.0", "html", "usr/share/doc/python3.11/html/**/*.html", 2000),
    Source("r-doc-html", "GPL-2+", "html", "usr/share/R/doc/manual/*.html"),
    Source("rust-doc", "MIT or Apache-2.0", "html", "usr/share/doc/rust-doc/html/book/ch*.html"),
    Source("sphinx-doc", "BSD-2-Clause", "html", "usr/share/doc/sphinx-doc/html/**/*.html", 300),
    Source("sqlite3-doc", "public domain", "html", "usr/share/doc/sqlite3/*.html", 1000),
    Source("zsh-doc", "Zsh (MIT-like)", "html", "usr/share/doc/zsh-doc/html/*.html"),
    Source("dict-foldoc", "GFDL-1.1+", "dictionary", "usr/share/dictd/foldoc.dict.dz", 2500),
)
PACKAGE_INDEX_LICENCE = "each package's own; the index is Debian's"

# The evaluation sets. Training never sees them, in any language.
HELD_OUT_PACKAGES = ("debian-faq", "perl-doc")  # only the perlfaq pages of perl-doc
HELD_OUT_FILES = ("perlfaq", "debian/FAQ", "debian-faq", "delta.pod")  # parts of paths; *delta.pod are change logs


def files_of(source: Source, unpacked: Path) -> list[Path]:
    """Return the files of an unpacked source in a fixed order, without held-out files."""
    found = sorted(path for path in (unpacked / source.package).glob(source.files) if path.is_file())
    return [path for path in found if not any(part in path.as_posix() for part in HELD_OUT_FILES)]
