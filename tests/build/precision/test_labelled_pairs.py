from packrank_build.precision.labelled_pairs import labelled_questions


def test_more_than_a_thousand_pairs_have_one_answer_in_ten() -> None:
    labelled = labelled_questions()
    assert {len(set(one.question.passages)) for one in labelled} == {10}
    assert sum(len(one.question.passages) for one in labelled) == 1110
    for one in labelled:
        assert one.question.query not in one.question.passages


def test_every_place_of_ten_holds_the_answer_of_some_questions() -> None:
    answers = [one.answer for one in labelled_questions()]
    assert min(answers.count(place) for place in range(10)) >= 8


def test_a_fourth_of_the_questions_has_english_ones_and_every_direction() -> None:
    part = labelled_questions()[::4]
    ascii_queries = [one for one in part if one.question.query.isascii()]
    ascii_passages = [one for one in part if all(map(str.isascii, one.question.passages))]
    assert len(part) == 28
    assert 8 <= len([one for one in ascii_queries if one in ascii_passages]) <= 20
    assert len(part) - len(ascii_queries) >= 4
    assert len(part) - len(ascii_passages) >= 4
