"""How well people did in a quiz, against guessing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auditor.errors import DataError
from auditor.statistics.intervals import proportion, rate_interval
from auditor.user_study.quiz import Right, read_key, rows_of, whole

Answers = Mapping[tuple[str, int], int]
"""(respondent, question) -> the candidate that was named."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a study found.

    Attributes:
        accuracy: share of right answers.
        low: lower end of its 95% interval.
        high: upper end.
        chance: what guessing comes to.
        p: how often guessing comes to as many right answers, one-sided.
        respondents: how many people answered.
        questions: question -> (right answers, answers).
    """

    accuracy: float
    low: float
    high: float
    chance: float
    p: float
    respondents: int
    questions: Mapping[int, tuple[int, int]]


def read_answers(
    paths: Sequence[Path], mark: str, key: Mapping[int, Right]
) -> dict[tuple[str, int], int]:
    """Return everybody's answers; a file whose rows name nobody is one respondent of its own.

    Raises:
        DataError: for an answer to another quiz, an unknown question, a number that no candidate
            has, two answers to one question, or none.
    """
    answers: dict[tuple[str, int], int] = {}
    for path in paths:
        for line, row in rows_of(path, ("quiz", "question", "answer")):
            where = f"{path}, line {line}"
            if row["quiz"] != mark:
                raise DataError(f"{where} answers the quiz {row['quiz']!r}, the key is of {mark!r}")
            question = whole(path, line, row, "question")
            if question not in key:
                raise DataError(f"{where}: there is no question {question} in this quiz")
            if not row["answer"]:
                raise DataError(f"{where}: question {question} has no answer; a guess is needed")
            answer = whole(path, line, row, "answer")
            if answer > key[question].candidates:
                raise DataError(
                    f"{where}: question {question} has {key[question].candidates} candidates, "
                    f"not {answer}"
                )
            who = row.get("respondent") or str(path)
            if (who, question) in answers:
                raise DataError(f"{where}: {who!r} answers question {question} twice")
            answers[who, question] = answer
    _complete(answers, key)
    return answers


def _complete(answers: Answers, key: Mapping[int, Right]) -> None:
    if not answers:
        raise DataError("there are no answers")
    for who in dict.fromkeys(who for who, _ in answers):
        if missing := [question for question in key if (who, question) not in answers]:
            raise DataError(
                f"{who!r} leaves question {missing[0]} out; who knows no answer must guess, or "
                "the share of right answers says nothing"
            )


def score(answers: Answers, key: Mapping[int, Right]) -> Result:
    """Accuracy with its interval against chance.

    One respondent: Clopper–Pearson. Several: answers of one person are alike, and so are answers to
    one question, so the interval is the wider one of clustering by either.

    Args:
        answers: complete ones, from `read_answers`.
        key: the right answers.
    """
    hits = {(who, q): answer == key[q].answer for (who, q), answer in answers.items()}
    people = _clusters([(who, hit) for (who, _), hit in hits.items()])
    questions = _clusters([(q, hit) for (_, q), hit in hits.items()])
    right, total = sum(hits.values()), len(hits)
    ends = [proportion(right, total)]
    if len(people) > 1:
        ends = [rate_interval(table) for table in (people, questions)]
    return Result(
        accuracy=right / total,
        low=min(low for low, _ in ends),
        high=max(high for _, high in ends),
        chance=sum(1 / key[q].candidates for _, q in hits) / total,
        p=by_guessing(answers, key, right),
        respondents=len(people),
        questions={int(q): (int(h), int(n)) for q, (h, n) in questions.items()},
    )


def _clusters(pairs: Sequence[tuple[str | int, bool]]) -> dict[str, tuple[float, float]]:
    sums: dict[str, tuple[float, float]] = {}
    for name, hit in pairs:
        right, total = sums.get(str(name), (0.0, 0.0))
        sums[str(name)] = (right + hit, total + 1)
    return sums


def by_guessing(answers: Answers, key: Mapping[int, Right], right: int) -> float:
    """How often at least ``right`` answers fit if the right candidates had been dealt at random.

    Exact, and for one respondent the binomial tail. The answers stay as they were given, so it
    holds however alike the respondents answer: a candidate whom everybody names for no reason is
    right for all of them or for none.
    """
    chances = np.ones(1)
    for question, truth in key.items():
        named = Counter(answer for (_, q), answer in answers.items() if q == question)
        hits = [named.get(candidate, 0) for candidate in range(1, truth.candidates + 1)]
        chances = np.convolve(chances, np.bincount(hits) / truth.candidates)
    return float(min(1.0, chances[right:].sum()))


def load_key(path: Path) -> tuple[str, dict[int, Right]]:
    """Return the key of a quiz as `audit study` wrote it.

    Raises:
        DataError: if it is no key of a quiz.
    """
    mark, key = read_key(path)
    if not mark:
        raise DataError(f"{path} is the key of no quiz; audit study writes one beside its handout")
    return mark, key
