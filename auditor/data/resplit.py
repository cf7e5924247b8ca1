"""New splits for people whose pictures are labelled with nothing but who they are.

Whole people are drawn: some become the adversary's (auxiliary), the others are attacked; of those,
drawn pictures become queries, each with a match left in the gallery.
"""

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pandas as pd

from auditor.data.rows import DISTRACTOR, JUNK, Rows
from auditor.errors import DataError
from auditor.report import pluralize

Queries = Literal["one-per-camera", "one-per-person"]

LEAST = 2
"""People on either side; one alone could not be mixed up with anybody."""


def resplit(
    rows: Rows,
    rng: np.random.Generator,
    *,
    auxiliary: float = 0.5,
    queries: Queries = "one-per-camera",
) -> Rows:
    """Return the rows with every picture in query, gallery or auxiliary; nobody is on two sides.

    Args:
        rows: of any layout; earlier splits are forgotten.
        rng: draws people and queries.
        auxiliary: the share of people who become the adversary's.
        queries: how many pictures of an attacked person become queries, as far as each of them
            keeps a match in the gallery, from another camera where there are several.

    Raises:
        DataError: if there are too few people, or no picture can become a query.
    """
    if not 0 < auxiliary < 1:
        raise DataError(f"--auxiliary is {auxiliary:g}; give a share between 0 and 1, such as 0.5")
    if queries not in get_args(Queries):
        raise DataError(
            f"--queries {queries!r} is not known; choose {', '.join(get_args(Queries))}"
        )
    table = rows.table.sort_values("path")
    people = sorted(set(table["pid"]) - {JUNK, DISTRACTOR})
    if len(people) < 2 * LEAST:
        raise DataError(
            f"{rows.source} shows {pluralize(len(people), 'person', 'people')}; a split needs "
            f"{2 * LEAST} or more, {LEAST} on either side"
        )
    number = min(max(round(auxiliary * len(people)), LEAST), len(people) - LEAST)
    known = set(rng.permutation(people)[:number].tolist())
    attacked = table[~table["pid"].isin({JUNK, DISTRACTOR, *known})]
    chosen = _draw_queries(attacked, rng, queries)
    if not chosen:
        raise DataError(
            f"{rows.source}: nobody has two pictures that could be query and match; give people "
            "further pictures, from other cameras if there are several"
        )
    split = pd.Series("gallery", index=rows.table.index)
    split[rows.table["pid"].isin(known)] = "auxiliary"
    split[chosen] = "query"
    notices = (*rows.notices, *_notices(rows, attacked, chosen))
    return replace(rows, table=rows.table.assign(split=split), notices=notices)


def _draw_queries(attacked: pd.DataFrame, rng: np.random.Generator, queries: str) -> list[int]:
    """Return the rows that become queries."""
    cross_camera = attacked["camid"].nunique() > 1
    chosen: list[int] = []
    for _, own in attacked.groupby("pid"):
        drawn = own.iloc[rng.permutation(len(own))]
        mine: list[int] = []
        for candidate in drawn.drop_duplicates("camid").sort_values("camid").index:
            left = own.drop([*mine, candidate])["camid"].tolist()
            searching = own.loc[[*mine, candidate], "camid"].tolist()
            if all(_finds(camera, left, cross_camera) for camera in searching):
                mine.append(int(candidate))
            if mine and queries == "one-per-person":
                break
        chosen += mine
    return chosen


def _finds(camera: str, gallery: list[str], cross_camera: bool) -> bool:
    """Return whether a query of ``camera`` has a match among pictures of the same person."""
    if not cross_camera or not camera:
        return bool(gallery)
    return any(other != camera for other in gallery)


def _notices(rows: Rows, attacked: pd.DataFrame, chosen: list[int]) -> list[str]:
    notices = []
    if (rows.table["split"] != "").any():
        notices.append(
            "The earlier splits were replaced: people a model was trained on may now be attacked."
        )
    idle = attacked["pid"].nunique() - attacked.loc[chosen, "pid"].nunique()
    if idle:
        notices.append(f"{idle} attacked people have no query, for it would find no match.")
    if set(attacked["camid"]) != {""} and attacked["camid"].nunique() == 1:
        notices.append("There is one camera only: audit with data.cross_camera: false.")
    return notices
