"""What a study with people needs of one scenario: pictures to compare, and apart from them the key.

Paper 003 (§4.3) asks people to find, among protected pictures, the one that shows the same person
as a clean query. Each question is one strip of equal cells: the query, then the candidates in a
drawn order, exactly one of them the query's person. All come from one camera, which is not the
query's, where there are enough of them: else the scenery would tell which are wrong.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Generator, Tensor

from auditor.artifacts.atomic import table, write, write_picture
from auditor.data.features.rows import has_pictures
from auditor.data.images import as_bytes
from auditor.types import ReIDDataset, RunContext, Target
from auditor.user_study.quiz import CELL_RATIO, KEY

CANDIDATES = 10
FEWEST = 2
CELL = (128, 128 // CELL_RATIO)
"""(height, width) of one picture."""


def save_material(target: Target, ctx: RunContext, scenario: str, count: int) -> None:
    """Write ``question-01.png`` and so on, and ``key.csv``, to ``ctx.workdir``.

    The people, and the candidates of each question, are the same in every scenario of a run, their
    order is not: so the bare scenario is the control of the others. Too few people, or features
    without pictures: nothing.

    Args:
        target: its gallery contains the pictures as they are published.
        ctx: for randomness, and with an existing folder.
        scenario: its name.
        count: of questions; fewer if there are fewer people.
    """
    data = target.data
    if not (has_pictures(data.query.images) and has_pictures(data.gallery.images)):
        return
    people = torch.randperm(len(data.query), generator=ctx.generator("study"))
    order = ctx.generator(f"study.{scenario}")
    choice = ctx.generator("study.candidates")
    asked: set[int] = set()
    key: list[tuple[int, int, int]] = []
    for query in people.tolist():
        pid = int(data.query.pids[query])
        if len(key) == count or pid in asked:
            continue
        asked.add(pid)
        rows = candidates(data, query, choice)
        if len(rows) < FEWEST:
            continue
        shown = torch.randperm(len(rows), generator=order).tolist()
        number = len(key) + 1
        entries = [rows[place] for place in shown]
        _strip(target, query, entries, ctx.workdir / f"question-{number:02d}.png")
        key.append((number, shown.index(0) + 1, len(rows)))
    write(ctx.workdir / KEY, table(["question", "right", "candidates"], key), mode=0o600)


def candidates(data: ReIDDataset, query: int, generator: Generator) -> list[int]:
    """Gallery rows: one of the query's person first, then one each of others; none without one.

    Args:
        data: whose gallery is asked about.
        query: a row of its query split.
        generator: draws the rows.
    """
    gallery, pid = data.gallery, data.query.pids[query]
    elsewhere = gallery.camids != data.query.camids[query]
    mine = gallery.pids == pid
    mine = mine & elsewhere if bool((mine & elsewhere).any()) else mine
    if int(pid) <= 0 or not bool(mine.any()):
        return []
    first = _sample_row(mine, generator)
    others = (gallery.pids > 0) & (gallery.pids != pid)
    alike = others & (gallery.camids == gallery.camids[first])
    pools = (alike, others & elsewhere, others)
    enough = (pool for pool in pools if len(gallery.pids[pool].unique()) >= CANDIDATES - 1)
    pool = next(enough, others)
    people = gallery.pids[pool].unique()
    drawn = people[torch.randperm(len(people), generator=generator)][: CANDIDATES - 1]
    return [first, *(_sample_row(pool & (gallery.pids == other), generator) for other in drawn)]


def _sample_row(rows: Tensor, generator: Generator) -> int:
    places = rows.nonzero().flatten()
    return int(places[int(torch.randint(len(places), (1,), generator=generator))])


def _strip(target: Target, query: int, entries: list[int], path: Path) -> None:
    pictures = torch.cat(
        [
            target.data.query.images.load([query], CELL),
            target.data.gallery.images.load(entries, CELL),
        ]
    )
    strip = as_bytes(torch.cat(list(pictures), dim=2)).permute(1, 2, 0)
    write_picture(path, Image.fromarray(strip.numpy()), mode=0o600)
