"""`audit study` from a finished run to the score of filled-in answers."""

import csv

import pytest


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("words", [["study"], ["study", "make"]])
def test_from_run_to_score(audit, finished_run, tmp_path, words):
    out = tmp_path / "study"
    command = [*words, finished_run / "report.json", "--queries", 4, "--out", out]
    code, said, stderr = audit(*command)
    assert code == 0, stderr
    assert "must not see" in said
    assert "real people" in said
    assert sorted(p.name for p in out.iterdir()) == ["handout", "key.csv"]
    assert sorted(p.name for p in (out / "handout").iterdir()) == ["answers.csv", "quiz.html"]
    assert out.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in out.rglob("*.*")} == {0o600}
    key = {row["question"]: row["right"] for row in rows_of(out / "key.csv")}
    answers = out / "handout" / "answers.csv"
    rows = rows_of(answers)
    filled = ["quiz,respondent,question,answer"]
    filled += [f"{r['quiz']},,{r['question']},{key[r['question']]}" for r in rows]
    answers.write_text("\n".join(filled) + "\n")
    code, said, _ = audit("study", "score", answers, "--key", out / "key.csv")
    assert code == 0
    assert said.startswith(
        "accuracy 100.0% (95% interval 39.8% to 100.0%), chance 10.0%, p = 0.0001"
    )
    assert audit(*command)[0] == 2  # never over an earlier key


def test_mistakes_are_one_line(audit, finished_run, tmp_path):
    record = finished_run / "report.json"
    for command in (
        ["study", tmp_path / "nothing.json", "--out", tmp_path / "a"],
        ["study", record, "--queries", 500, "--out", tmp_path / "b"],
        ["study", record, "--scenario", "pis", "--out", tmp_path / "c"],
        ["study", "score", tmp_path / "nothing.csv", "--key", tmp_path / "key.csv"],
        ["study", "score", record, "--key", finished_run / "personal/none/study/key.csv"],
    ):
        code, _, stderr = audit(*command)
        assert code == 2, command
        assert stderr.startswith("audit: ")
        assert stderr.count("\n") == 1


def test_both_scenarios_left_material_and_the_record_knows_nothing_of_it(finished_run):
    for scenario in ("none", "blur"):
        place = finished_run / "personal" / scenario / "study"
        assert len(list(place.glob("question-*.png"))) == 20
    assert "study/" not in (finished_run / "report.json").read_text()
