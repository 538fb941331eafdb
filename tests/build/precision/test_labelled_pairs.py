from packrank_build.graph.parity_pairs import declaration_articles
from packrank_build.precision.labelled_pairs import labelled_questions


def test_a_thousand_pairs_in_26_languages_have_one_answer_each() -> None:
    labelled = labelled_questions()
    assert sum(len(one.question.passages) for one in labelled) == 1000
    passages = {tuple(one.question.passages) for one in labelled}
    assert len(passages) == 26  # one tuple of articles a language
    for one in labelled:
        assert one.question.query not in one.question.passages  # it is asked in another language


def test_every_article_is_an_answer_equally_often() -> None:
    answers = [one.answer for one in labelled_questions()]
    assert {answers.count(article) for article in range(10)} == {10}


def test_no_text_is_one_that_int8_is_calibrated_on_or_that_the_parity_gate_scores() -> None:
    seen = {text for articles in declaration_articles().values() for text in articles.values()}
    assert seen.isdisjoint(text for one in labelled_questions() for text in one.question.passages)
