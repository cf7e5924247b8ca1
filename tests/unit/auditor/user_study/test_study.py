"""A quiz shows no answer, its key fits it alone, and its score stands against exact guessing."""

import csv
import io
import re
from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from auditor.artifacts.personal import PERSONAL
from auditor.errors import DataError, UsageError
from auditor.report import dumps
from auditor.types import Target
from auditor.user_study.material import CANDIDATES, candidates, save_material
from auditor.user_study.quiz import KEY, STUDY, Right, make, read_key
from auditor.user_study.score import by_guessing, read_answers, score
from reports.html.user_study import render
from tests import worlds
from tests.records import example_record

KEY_OF_THREE = {n: Right(answer=n, candidates=4) for n in (1, 2, 3)}
ANSWERED = "quiz,respondent,question,answer\n"


def save(tmp_path, target, scenario="none", count=5, seed=0):
    folder = tmp_path / PERSONAL / scenario / STUDY
    folder.mkdir(parents=True)
    save_material(target, worlds.context(folder, seed), scenario, count)
    return folder


class TestMaterial:
    def test_exactly_one_candidate_is_the_person_by_another_camera(self):
        data = worlds.people()
        generator = torch.Generator().manual_seed(0)
        for query in range(0, len(data.query), 7):
            rows = candidates(data, query, generator)
            pids = data.gallery.pids[rows].tolist()
            assert len(rows) == len(set(pids)) == CANDIDATES
            assert pids.index(int(data.query.pids[query])) == 0
            cameras = set(data.gallery.camids[rows].tolist())
            assert len(cameras) == 1  # the scenery tells nobody apart
            assert cameras != {int(data.query.camids[query])}

    def test_a_question_shows_what_the_key_says(self, tmp_path):
        folder = save(tmp_path, worlds.leaky())
        data = worlds.leaky().data
        gallery = (data.gallery.images.load(range(len(data.gallery)), (128, 64)) * 255).round()
        for number, right in read_key(folder / KEY)[1].items():
            strip = np.asarray(Image.open(folder / f"question-{number:02d}.png"))
            assert strip.shape == (128, 64 * (1 + CANDIDATES), 3)
            queries = data.query.images.load(range(len(data.query)), (128, 64)).mul(255).round()
            asked = shown(strip, 0, queries, data.query)
            found = [shown(strip, place, gallery, data.gallery) for place in range(1, 11)]
            assert [asked <= pids for pids in found].index(True) + 1 == right.answer
            assert sum(bool(asked & pids) for pids in found) == 1

    def test_scenarios_ask_about_the_same_people_in_another_order(self, tmp_path):
        one = save(tmp_path, worlds.leaky(), "none", 20)
        other = save(tmp_path, worlds.leaky(), "blur", 20)
        keys = [[r.answer for r in read_key(f / KEY)[1].values()] for f in (one, other)]
        assert keys[0] != keys[1]
        for number in (1, 20):
            strips = [
                np.asarray(Image.open(f / f"question-{number:02d}.png")) for f in (one, other)
            ]
            cells = [sorted(c.tobytes() for c in np.split(s, 11, axis=1)) for s in strips]
            assert cells[0] == cells[1]

    def test_the_right_place_is_drawn_evenly(self, tmp_path):
        places = Counter()
        for seed in range(12):
            folder = save(tmp_path / str(seed), worlds.leaky(), count=20, seed=seed)
            places.update(right.answer for right in read_key(folder / KEY)[1].values())
        assert sum(places.values()) == 240
        assert stats.chisquare([places[n] for n in range(1, 11)]).pvalue > 1e-3

    def test_nobody_is_asked_about_twice_and_too_few_people_are_no_study(self, tmp_path):
        folder = save(tmp_path, worlds.leaky(), count=50)
        assert len(read_key(folder / KEY)[1]) == 24
        lonely = worlds.crowd(1, 1, 1)
        empty = save(tmp_path / "b", Target(lonely.extractor, lonely.data))
        assert (empty / KEY).read_text() == "question,right,candidates\n"
        assert (empty / KEY).stat().st_mode & 0o777 == 0o600


def shown(strip, place, pictures, split):
    """The people whose picture is in a cell."""
    cell = torch.tensor(strip[:, 64 * place : 64 * (place + 1)]).permute(2, 0, 1)
    same = (pictures == cell).flatten(1).all(1)
    return set(split.pids[same].tolist())


@pytest.fixture
def record(tmp_path):
    (tmp_path / "report.json").write_text(dumps(example_record()))
    save(tmp_path, worlds.leaky(), "none")
    return tmp_path / "report.json"


class TestQuiz:
    def test_the_page_tells_no_answer(self, record, tmp_path):
        quiz, key = make(record, "", 5)
        render(quiz, tmp_path / "quiz.html")
        page = (tmp_path / "quiz.html").read_text()
        assert (tmp_path / "quiz.html").stat().st_mode & 0o777 == 0o600
        assert page.count("<img") == 5 * (1 + CANDIDATES)
        assert "<script" not in page
        assert "http" not in page.replace("http-equiv", "")
        # the right pictures are marked by nothing: without pictures and numbers all items are alike
        text = page.replace("Picture ", "")
        items = {re.sub(r'src="[^"]*"|[0-9]+', "", li) for li in text.split("<li>")[1:-1]}
        assert len({item.partition("</li>")[0] for item in items}) == 1
        assert len({right.answer for right in key.values()}) > 1

    def test_every_candidate_is_a_picture_of_its_own(self, record):
        quiz, _ = make(record, "none", 2)
        for question in quiz.questions:
            cells = [question.query, *question.candidates]
            assert len(set(cells)) == 1 + CANDIDATES
            assert {Image.open(io.BytesIO(cell)).size for cell in cells} == {(64, 128)}

    def test_a_protected_scenario_comes_before_the_control(self, record, tmp_path):
        bare = make(record, "", 3)[0]
        save(tmp_path, worlds.leaky(), "dp_gallery")
        assert make(record, "", 3)[0].mark == make(record, "dp_gallery", 3)[0].mark != bare.mark

    @pytest.mark.parametrize(
        ("scenario", "count", "reason"),
        [("pis", 3, "no study for the scenario 'pis'"), ("", 6, "has 5 questions, not 6")],
    )
    def test_what_is_not_there_is_said(self, record, scenario, count, reason):
        with pytest.raises(UsageError, match=reason):
            make(record, scenario, count)

    def test_a_purged_audit_has_no_study(self, tmp_path):
        (tmp_path / "report.json").write_text(dumps(example_record()))
        with pytest.raises(UsageError, match="purged"):
            make(tmp_path / "report.json", "", 3)


class TestAnswers:
    def write(self, tmp_path, text, name="answers.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    def test_files_without_names_are_one_respondent_each(self, tmp_path):
        rows = "q,,1,1\nq,,2,2\nq,,3,4\n"
        paths = [self.write(tmp_path, ANSWERED + rows, f"{n}.csv") for n in "ab"]
        answers = read_answers(paths, "q", KEY_OF_THREE)
        assert len(answers) == 6
        assert score(answers, KEY_OF_THREE).accuracy == pytest.approx(4 / 6)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "no column 'quiz'"),
            (ANSWERED, "there are no answers"),
            (ANSWERED + "x,a,1,1\n", "line 2 answers the quiz 'x'"),
            (ANSWERED + "q,a,4,1\n", "no question 4"),
            (ANSWERED + "q,a,one,1\n", "question is 'one', not a number"),
            (ANSWERED + "q,a,1,5\n", "has 4 candidates, not 5"),
            (ANSWERED + "q,a,1,0\n", "answer is '0'"),
            (ANSWERED + "q,a,1,2.5\n", "answer is '2.5'"),
            (ANSWERED + "q,a,1,\n", "question 1 has no answer"),
            (ANSWERED + "q,a,1\n", "question 1 has no answer"),
            (ANSWERED + "q,a,1,1\nq,a,1,2\n", "line 3: 'a' answers question 1 twice"),
            (ANSWERED + "q,a,1,1\nq,a,2,2\n", "'a' leaves question 3 out"),
            (ANSWERED + 'q,a,1,"1', "'a' leaves question 2 out"),
            ("quiz,question,answer\n\x00,1,1\n", "answers.csv"),
        ],
    )
    def test_what_cannot_be_scored_is_one_clear_line(self, tmp_path, text, reason):
        with pytest.raises(DataError) as error:
            read_answers([self.write(tmp_path, text)], "q", KEY_OF_THREE)
        assert reason in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_file_that_is_no_text_is_said(self, tmp_path):
        (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DataError, match="UTF-8"):
            read_answers([tmp_path / "a.csv"], "q", KEY_OF_THREE)


def answered(hits, questions=10, options=10):
    """Answers of several people, each with so many right; and the key."""
    key = {n: Right(answer=1 + n % options, candidates=options) for n in range(1, questions + 1)}
    answers = {
        (str(who), n): right.answer if n <= count else 1 + right.answer % options
        for who, count in enumerate(hits)
        for n, right in key.items()
    }
    return answers, key


class TestScore:
    @pytest.mark.parametrize("right", [0, 1, 4, 10])
    def test_one_respondent_is_a_binomial(self, right):
        found = score(*answered([right]))
        known = stats.binomtest(right, 10, 0.1, alternative="greater")
        assert found.p == pytest.approx(known.pvalue)
        interval = stats.binomtest(right, 10).proportion_ci(method="exact")
        assert (found.low, found.high) == pytest.approx(tuple(interval))
        assert (found.accuracy, found.chance) == pytest.approx((right / 10, 0.1))

    def test_guessing_is_counted_out_by_hand(self):
        rng = np.random.default_rng(4)
        key = {n: Right(answer=1, candidates=3) for n in range(1, 5)}
        answers = {(who, n): int(rng.integers(1, 4)) for who in "abc" for n in key}
        for right in range(13):
            dealt = product(range(1, 4), repeat=4)
            fits = [
                sum(answer == truths[n - 1] for (_, n), answer in answers.items()) >= right
                for truths in dealt
            ]
            assert by_guessing(answers, key, right) == pytest.approx(np.mean(fits))

    def test_people_who_all_say_the_same_count_as_one(self):
        answers, key = answered([5])
        alone = score(answers, key)
        crowd = {(str(who), n): answer for (_, n), answer in answers.items() for who in range(8)}
        together = score(crowd, key)
        assert together.p == pytest.approx(alone.p)
        assert together.accuracy == alone.accuracy
        assert together.high - together.low > 0.9 * (alone.high - alone.low)

    def test_a_clear_result_is_clear_and_guessing_is_not(self):
        found = score(*answered([9, 10, 8, 9, 10]))
        assert found.low > 4 * found.chance
        assert found.p < 1e-6
        assert found.respondents == 5
        assert found.questions[1] == (5, 5)
        blind = score(*answered([1, 0, 2, 1, 1]))
        assert blind.low < 0.1 < blind.high
        assert blind.p > 0.05


def test_the_answer_sheet_is_read_back(record, tmp_path):
    from auditor.artifacts.atomic import table
    from auditor.user_study.quiz import COLUMNS, answer_sheet

    quiz, key = make(record, "none", 4)
    rows = list(csv.DictReader(io.StringIO(table(COLUMNS, answer_sheet(quiz)).decode())))
    filled = [(quiz.mark, "ada", row["question"], key[int(row["question"])].answer) for row in rows]
    (tmp_path / "a.csv").write_bytes(table(COLUMNS, filled))
    answers = read_answers([tmp_path / "a.csv"], quiz.mark, key)
    assert score(answers, key).accuracy == 1.0
