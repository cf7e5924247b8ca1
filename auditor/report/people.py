"""Records of single people: who is most exposed, and whom the system shows first."""

from dataclasses import dataclass

from auditor.report.measurement import Measurement

LISTED = 5
"""Matches of a rank list."""


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """One of the most exposed people, under a pseudonym.

    Attributes:
        pseudonym: the same person has the same one everywhere in an audit.
        leakage: the share of this person's images that the worst attack succeeded on.
        attack: which attack that was.
        images: how many images that rests on.
        average: the mean over all attacks.
    """

    pseudonym: str
    leakage: float
    attack: str
    images: int
    average: float


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Who is worst off in one scenario, over all attacks that do not fool themselves.

    Attributes:
        attacks: those whose headline counts images of single people.
        people: how many people they were tried on.
        fully: share of people whose every image was hit by at least one of the attacks.
        most: the most exposed 1%, at least one and at most twenty.
        tied: how many people are exposed as much as the last of them.
    """

    attacks: tuple[str, ...]
    people: int
    fully: Measurement
    most: tuple[Exposed, ...]
    tied: int


@dataclass(frozen=True, kw_only=True)
class Match:
    """The best gallery match of one query, cross-camera; identities are pseudonyms, 0 is nobody."""

    query_id: str
    query_camera: str
    match_id: str
    match_camera: str
    similarity: float
    correct: bool
    rank: float


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One entry of a rank list; ``similarity`` is a cosine, or minus a Euclidean distance."""

    match_id: str
    match_camera: str
    similarity: float
    correct: bool


@dataclass(frozen=True, kw_only=True)
class RankList:
    """The best gallery matches of one query, those of its person by its own camera set aside.

    Attributes:
        query_id: whom the query shows, as a pseudonym.
        query_camera: which camera took it.
        rank: of the first right match, ties counted as their mean.
        matches: the nearest first, `LISTED` at most.
        picture: path of a strip of `LISTED` + 1 cells of equal width, the query's first, relative
            to the report; each cell is a picture within a margin of 4% of the cell's width.
    """

    query_id: str
    query_camera: str
    rank: float
    matches: tuple[Ranked, ...]
    picture: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one stored feature lies in a drawing of many; places mean nothing, distances little.

    Attributes:
        person: from 0; the same person has the same number in every scenario, and no other name.
        x: horizontally.
        y: vertically.
    """

    person: int
    x: float
    y: float
