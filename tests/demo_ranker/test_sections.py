from packrank_training.sections import Section, sections_from_html, sections_from_mallard, sections_from_pod


def test_a_section_ends_at_the_next_heading() -> None:
    page = "x<h1>1.2. First &amp; foremost</h1><p>one</p><p>two</p><h2>Q: Why?</h2><pre>because\n  so</pre>"
    assert list(sections_from_html(page)) == [Section("First & foremost", "one two"), Section("Why?", "because so")]


def test_navigation_scripts_and_permalinks_are_left_out() -> None:
    page = "<h1>Title<a class='headerlink' href='#'>¶</a></h1><nav>Home</nav><script>x()</script><p>text</p>"
    assert list(sections_from_html(page)) == [Section("Title", "text")]


def test_a_table_of_contents_is_not_a_section() -> None:
    page = "<h1>Contents</h1><a href='1'>one</a> <a href='2'>two</a><h1>Links</h1>some words and <a href='3'>one</a>"
    assert [section.title for section in sections_from_html(page)] == ["Links"]


def test_pod_codes_are_removed() -> None:
    pod = "=head2 How do I use C<print>?\n\nSee L<perlfunc|the list> and B<I<this>>: C<< a->b >>.\n\n=item other\n\nx\n"
    assert list(sections_from_pod(pod)) == [
        Section("How do I use print?", "See perlfunc and this: a->b."),
        Section("other", "x"),
    ]


def test_a_help_page_is_one_section_of_description_and_text() -> None:
    page = (
        '<page xmlns="http://projectmallard.org/1.0/"><info><desc>In short.</desc><credit>me</credit></info>'
        "<title>Mute a sound</title><p>Press <key>M</key>.</p></page>"
    )
    assert list(sections_from_mallard(page)) == [Section("Mute a sound", "In short. Press M .")]
