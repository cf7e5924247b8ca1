"""Drawn splits: whole people on one side, and no query without a match."""

import random

import numpy as np
import pytest

from auditor.data.resplit import resplit
from auditor.data.rows import scan_pictures
from auditor.errors import DataError


def rows(tmp_path, pictures):
    """`Rows` of (pid, camid) pairs; nobody opens their files."""
    records = [(f"{n:04d}.png", pid, camid, "") for n, (pid, camid) in enumerate(pictures)]
    return scan_pictures("folder", tmp_path, tmp_path.resolve(), records)


def draw(rows, seed=0, **options):
    return resplit(rows, np.random.default_rng(seed), **options).table


def finds_a_match(query, gallery, cross_camera):
    """The definition, picture by picture."""
    return any(
        other.pid == query.pid and not (cross_camera and query.camid and other.camid == query.camid)
        for other in gallery.itertuples()
    )


@pytest.mark.parametrize("cameras", [["1", "2", "3"], ["1", "2", ""], ["1"], [""]])
@pytest.mark.parametrize("seed", range(8))
def test_every_query_has_a_match_and_nobody_is_on_two_sides(tmp_path, cameras, seed):
    dice = random.Random(seed)
    pictures = [(pid, dice.choice(cameras)) for pid in range(1, 13)
                for _ in range(dice.randint(1, 5))]  # fmt: skip
    table = draw(rows(tmp_path, pictures), seed)
    query, gallery, auxiliary = (table[table["split"] == s]
                                 for s in ("query", "gallery", "auxiliary"))  # fmt: skip
    assert len(query) + len(gallery) + len(auxiliary) == len(pictures)
    attacked = set(query["pid"]) | set(gallery["pid"])
    assert not attacked & set(auxiliary["pid"])
    assert len(attacked) == 6
    assert not query.duplicated(["pid", "camid"]).any()
    several = len(set(table[table["pid"].isin(attacked)]["camid"])) > 1
    assert all(finds_a_match(q, gallery, several) for q in query.itertuples())
    pairs = table[table["pid"].isin(attacked)].groupby("pid")
    for pid, own in pairs:  # nobody who could be looked for is left out
        if (own["camid"].nunique() if several else len(own)) > 1:
            assert pid in set(query["pid"])


def test_junk_and_distractors_stay_in_the_gallery(tmp_path):
    pictures = [(pid, c) for pid in (-1, 0, 1, 2, 3, 4) for c in ("1", "2", "2")]
    table = draw(rows(tmp_path, pictures))
    assert set(table[table["pid"] < 1]["split"]) == {"gallery"}


def test_the_order_of_the_rows_makes_no_difference(tmp_path):
    pictures = [(pid, c) for pid in range(1, 9) for c in ("1", "2", "2")]
    there = rows(tmp_path, pictures)
    records = list(there.table.itertuples(index=False))[::-1]
    back = scan_pictures("folder", tmp_path, tmp_path.resolve(), records)
    one, other = (draw(r).sort_values("path")["split"].tolist() for r in (there, back))
    assert one == other
    assert one != draw(there, seed=1).sort_values("path")["split"].tolist()


@pytest.mark.parametrize(("share", "people"), [(0.01, 2), (0.5, 4), (0.99, 6)])
def test_two_people_stay_on_either_side(tmp_path, share, people):
    pictures = [(pid, c) for pid in range(1, 9) for c in ("1", "2")]
    table = draw(rows(tmp_path, pictures), auxiliary=share)
    assert table[table["split"] == "auxiliary"]["pid"].nunique() == people


def test_one_camera_is_told(tmp_path):
    there = rows(tmp_path, [(pid, "1") for pid in (1, 2, 3, 4) for _ in range(2)])
    notices = resplit(there, np.random.default_rng(0)).notices
    assert notices == ("There is one camera only: audit with data.cross_camera: false.",)


def test_too_few_people(tmp_path):
    with pytest.raises(DataError, match="3 people; a split needs 4"):
        draw(rows(tmp_path, [(pid, "1") for pid in (1, 2, 3, 0, -1)]))
