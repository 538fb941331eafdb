from tests.checks.speed import FLOORS, verdict


def test_a_build_below_its_floor_fails() -> None:
    floor = FLOORS["fp32"]
    assert verdict(floor, "fp32")[0]
    passed, sentence = verdict(floor - 0.01, "fp32")
    assert not passed
    assert "something has become slower" in sentence
    assert verdict(0.1, "fp16") == (True, verdict(0.1, "fp16")[1])
    assert "no floor is known" in verdict(0.1, "fp16")[1]
