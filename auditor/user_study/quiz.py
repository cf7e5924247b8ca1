"""A study with people: which of these protected pictures shows the person of a clean one?

The audit left the material (`auditor.user_study.material`). What respondents get shows the
pictures; which candidate is right lies in a key that they must not see.
"""

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from auditor.artifacts.personal import PERSONAL
from auditor.errors import DataError, UsageError
from auditor.report import AuditReport, load

STUDY = "study"
KEY = "key.csv"
CELL_RATIO = 2
"""Height over width of one picture of a strip."""
COLUMNS = ("quiz", "respondent", "question", "answer")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question, numbered from 1.

    Attributes:
        number: as it is printed.
        query: PNG of the person that is looked for.
        candidates: PNGs, numbered from 1 in this order.
    """

    number: int
    query: bytes
    candidates: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Quiz:
    """What respondents see.

    Attributes:
        title: of the audited model and data.
        mark: tells this quiz from any other, and goes with every answer.
        real_people: whether the pictures show real people.
        questions: in order.
    """

    title: str
    mark: str
    real_people: bool
    questions: tuple[Question, ...]


@dataclass(frozen=True, kw_only=True)
class Right:
    """The right answer to one question, and how many candidates there were."""

    answer: int
    candidates: int


def make(record: Path, scenario: str, count: int) -> tuple[Quiz, dict[int, Right]]:
    """Return a quiz of the first ``count`` questions of a scenario, and its key.

    Args:
        record: ``report.json`` of a finished run.
        scenario: whose gallery is shown; empty: the first one whose pictures are protected.
        count: of questions, at least 1.

    Raises:
        UsageError: if the run left no material, or less than asked for.
    """
    report = load(record)
    folder = _material(report, record.parent, scenario)
    key = {n: right for n, right in read_key(folder / KEY)[1].items() if n <= count}
    if len(key) < count:
        raise UsageError(
            f"{folder} has {len(key)} questions, not {count}; ask for fewer, or run the audit "
            "again with study: 50"
        )
    strips = [_read(folder / f"question-{number:02d}.png") for number in key]
    mark = hashlib.sha256(b"".join(strips)).hexdigest()[:8]
    questions = tuple(
        Question(number=number, query=cells[0], candidates=cells[1:])
        for number, cells in zip(key, map(_cells, strips), strict=True)
    )
    quiz = Quiz(title=report.title, mark=mark, real_people=report.real_people, questions=questions)
    return quiz, key


def _material(report: AuditReport, root: Path, scenario: str) -> Path:
    found = [
        s.defense for s in report.scenarios if (root / PERSONAL / s.defense / STUDY / KEY).is_file()
    ]
    if not found:
        raise UsageError(
            f"{root / PERSONAL} contains no pictures for a study: it was purged, or the audit ran "
            "with study: 0 or before there were studies"
        )
    # the bare scenario comes first and is the control: who says nothing means a protection
    chosen = scenario or (found[1] if len(found) > 1 else found[0])
    if chosen not in found:
        raise UsageError(
            f"there is no study for the scenario {chosen!r}; there is one for {', '.join(found)} "
            "(a protection that leaves pictures as they are has none of its own)"
        )
    place = root / PERSONAL / chosen / STUDY
    if place.resolve() != root.resolve() / PERSONAL / chosen / STUDY or ".." in Path(chosen).parts:
        raise UsageError(f"the study of {chosen!r} lies outside {root / PERSONAL}, or is a link")
    return place


def _cells(strip: bytes) -> tuple[bytes, ...]:
    """Return the pictures of a strip, from left to right."""
    with Image.open(io.BytesIO(strip), formats=["PNG"]) as opened:
        width = opened.height // CELL_RATIO
        boxes = [(left, 0, left + width, opened.height) for left in range(0, opened.width, width)]
        return tuple(_png(opened.crop(box)) for box in boxes)


def _png(picture: Image.Image) -> bytes:
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def answer_sheet(quiz: Quiz) -> list[tuple[str, str, int, str]]:
    """Return rows of a table with `COLUMNS` to fill in."""
    return [(quiz.mark, "", question.number, "") for question in quiz.questions]


def key_table(quiz: Quiz, key: Mapping[int, Right]) -> list[tuple[str, int, int, int]]:
    """Return rows of the key: quiz, question, right, candidates."""
    return [(quiz.mark, n, right.answer, right.candidates) for n, right in key.items()]


def read_key(path: Path) -> tuple[str, dict[int, Right]]:
    """Return the mark of a quiz (empty in an audit's own folder), and question -> right answer.

    Raises:
        DataError: if it is no key.
    """
    rows = rows_of(path, ("question", "right", "candidates"))
    if not rows:
        raise DataError(f"{path} contains no questions")
    key = {
        whole(path, line, row, "question"): Right(
            answer=whole(path, line, row, "right"), candidates=whole(path, line, row, "candidates")
        )
        for line, row in rows
    }
    return rows[0][1].get("quiz", ""), key


def rows_of(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file that must have ``columns``, without empty lines.

    Raises:
        DataError: if it cannot be read, or a column is missing.
    """
    try:
        reader = csv.DictReader(io.StringIO(_read(path).decode("utf-8-sig"), newline=""))
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}") from None
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; it needs {', '.join(columns)}")
    texts = [(n, {k: (v or "").strip() for k, v in row.items() if k}) for n, row in rows]
    return [(line, row) for line, row in texts if any(row.values())]


def whole(path: Path, line: int, row: Mapping[str, str], column: str) -> int:
    """Return a cell that must contain a number from 1.

    Raises:
        DataError: naming the line, if it does not.
    """
    text = row[column]
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        raise DataError(f"{path}, line {line}: {column} is {text[:40]!r}, not a number from 1")
    return int(text)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
