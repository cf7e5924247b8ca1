"""What a study with people needs of one scenario: pictures to compare, and apart from them the key.

Paper 003 (§4.3) asks people to find, among protected pictures, the one that shows the same person
as a clean query. Each question is one strip of equal cells: the query, then the candidates in a
drawn order, exactly one of them the query's person, from another camera where there is one.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Generator, Tensor

from auditor.files import table, write
from auditor.quiz import CELL_RATIO, KEY
from auditor.types import ReIDDataset, RunContext, Target

CANDIDATES = 10
FEWEST = 2
CELL = (128, 128 // CELL_RATIO)
"""(height, width) of one picture."""


def save_material(target: Target, ctx: RunContext, scenario: str, count: int) -> None:
    """Write ``question-01.png`` and so on, and ``key.csv``, to ``ctx.workdir``.

    The people, and the candidates of each question, are the same in every scenario of a run, their
    order is not: so the bare scenario is the control of the others. Too few people: nothing.

    Args:
        target: its gallery holds the pictures as they are published.
        ctx: for randomness, and with an existing folder.
        scenario: its name.
        count: of questions; fewer if there are fewer people.
    """
    data = target.data
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
    right = gallery.pids == pid
    elsewhere = right & (gallery.camids != data.query.camids[query])
    right = elsewhere if bool(elsewhere.any()) else right
    # everything is drawn whether it is needed or not, so that all scenarios draw alike
    first = _draw(right, generator)
    others = gallery.pids[(gallery.pids > 0) & (gallery.pids != pid)].unique()
    drawn = others[torch.randperm(len(others), generator=generator)][: CANDIDATES - 1]
    wrong = [_draw(gallery.pids == other, generator) for other in drawn]
    return [] if first is None or int(pid) <= 0 else [first, *(w for w in wrong if w is not None)]


def _draw(rows: Tensor, generator: Generator) -> int | None:
    places = rows.nonzero().flatten()
    if not len(places):
        return None
    return int(places[int(torch.randint(len(places), (1,), generator=generator))])


def _strip(target: Target, query: int, entries: list[int], path: Path) -> None:
    pictures = torch.cat(
        [
            target.data.query.images.load([query], CELL),
            target.data.gallery.images.load(entries, CELL),
        ]
    )
    strip = torch.cat(list(pictures), dim=2).mul(255).round().byte().permute(1, 2, 0)
    Image.fromarray(strip.numpy()).save(path)
