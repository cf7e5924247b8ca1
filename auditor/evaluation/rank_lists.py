"""Whom the system shows first: the best matches of a few queries, as figures and as pictures."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from auditor.artifacts.atomic import write
from auditor.data.features.rows import has_pictures
from auditor.data.images import as_bytes
from auditor.metrics.retrieval import Retrieval
from auditor.metrics.similarity import Similarities, Truth
from auditor.report import LISTED, Ranked, RankList
from auditor.types import Target

CELL = (144, 75)
"""(height, width) of one picture of a strip with its margin."""
MARGIN = 3


def rank_lists(
    scores: Similarities,
    truth: Truth,
    found: Retrieval,
    target: Target,
    count: int,
    folder: Path,
) -> tuple[RankList, ...]:
    """Return the best matches of ``count`` queries, those got wrong first.

    Args:
        scores: the plain ranking.
        truth: who is who.
        found: what it came to.
        target: whose pictures are shown; under a protection of pictures, the protected ones.
        count: how many queries; fewer if there are fewer.
        folder: an existing one for the strips; there are none of features without pictures.
    """
    data = target.data
    shown = has_pictures(target.deployed_query.images) and has_pictures(data.gallery.images)
    correct = data.query.pids[found.query_index] == data.gallery.pids[found.best_index]
    lists = []
    for place, row in enumerate(choose_queries(found.rank, correct, count), start=1):
        query = int(found.query_index[row])
        entries, similarities = _nearest(scores, truth, query)
        lists.append(
            RankList(
                query_id=str(int(data.query.pids[query])),
                query_camera=str(int(data.query.camids[query])),
                rank=float(found.rank[row]),
                matches=tuple(
                    Ranked(
                        match_id=str(int(data.gallery.pids[entry])),
                        match_camera=str(int(data.gallery.camids[entry])),
                        similarity=similarity,
                        correct=bool(data.query.pids[query] == data.gallery.pids[entry]),
                    )
                    for entry, similarity in zip(entries, similarities, strict=True)
                ),
                picture=str(_strip(folder / f"rank-list-{place}.png", target, query, entries))
                if shown
                else "",
            )
        )
    return tuple(lists)


def choose_queries(rank: torch.Tensor, correct: torch.Tensor, count: int) -> list[int]:
    """Return which of ``(V,)`` searches to show: wrong ones, the hardest first, then right ones.

    Half of each where there are enough; the right ones are spread evenly over the queries.
    """
    rows = range(len(rank))
    wrong = sorted((row for row in rows if not correct[row]), key=lambda row: (-rank[row], row))
    right = [row for row in rows if correct[row]]
    hard = min(len(wrong), max(count // 2, count - len(right)))
    easy = min(len(right), count - hard)
    return wrong[:hard] + [right[place * len(right) // easy] for place in range(easy)]


def _nearest(scores: Similarities, truth: Truth, query: int) -> tuple[list[int], list[float]]:
    """Return gallery positions of the best matches, and their similarities."""
    row = slice(query, query + 1)
    _, ignored = truth.relevant(row)
    values = scores(row).cpu()
    values[0, ignored.entry.cpu()] = -torch.inf
    values, order = values.sort(dim=1, descending=True, stable=True)
    kept = min(LISTED, int(torch.isfinite(values).sum()))
    similarities = scores.similarity(torch.tensor([query]), values)
    return order[0, :kept].tolist(), similarities[0, :kept].tolist()


def _strip(path: Path, target: Target, query: int, entries: list[int]) -> Path:
    """Query and matches side by side; what no picture covers is transparent."""
    height, width = (side - 2 * MARGIN for side in CELL)
    data = target.data
    pictures = torch.cat(
        [
            target.deployed_query.images.load([query], (height, width)),
            data.gallery.images.load(entries, (height, width)),
        ]
    )
    strip = np.zeros((CELL[0], CELL[1] * (LISTED + 1), 4), np.uint8)
    for place, picture in enumerate(as_bytes(pictures).permute(0, 2, 3, 1).numpy()):
        left = place * CELL[1] + MARGIN
        strip[MARGIN : MARGIN + height, left : left + width, :3] = picture
        strip[MARGIN : MARGIN + height, left : left + width, 3] = 255
    content = io.BytesIO()
    Image.fromarray(strip).save(content, "PNG")
    write(path, content.getvalue())
    return path
