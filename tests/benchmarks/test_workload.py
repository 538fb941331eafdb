from benchmarks.workload import mixed_questions, perf_analyzer_data


def test_the_same_seed_gives_the_same_requests() -> None:
    assert mixed_questions(8) == mixed_questions(8)
    assert mixed_questions(8) != mixed_questions(8, seed=1)


def test_lengths_are_mixed_within_their_bounds() -> None:
    questions = mixed_questions(64)
    counts = [len(question.passages) for question in questions]
    words = [len(passage.split()) for question in questions for passage in question.passages]
    assert (min(counts), max(counts)) == (1, 20)
    assert min(words) < 20
    assert 200 < max(words) <= 380
    assert min(words) >= 8


def test_perf_analyzer_gets_one_step_a_request() -> None:
    questions = mixed_questions(3)
    steps = perf_analyzer_data(questions)["data"]
    assert [step["query"] for step in steps] == [[question.query] for question in questions]
    assert [step["passages"] for step in steps] == [
        {"content": question.passages, "shape": [len(question.passages)]} for question in questions
    ]
