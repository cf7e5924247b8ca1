"""A gallery that was handed over, audited as it lies there."""

import csv
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auditor import plugins
from auditor.data.records import picture_digest
from auditor.data.stored import read_gallery
from auditor.deployment.handover import CLAIMS, GALLERY, ROWS, key_folder
from auditor.errors import DataError, UsageError
from auditor.evaluation.claims import apply_defense
from auditor.plugins.declaring import OwnFile, checked_dataclass
from auditor.releasing import Written
from auditor.types import RunContext, Split, Target


@checked_dataclass
class Deployed:
    """Audits the gallery that `audit defend` wrote, row by row.

    The stored rows are those of the file, and its key says which picture each belongs to. Whoever
    attacks it knows the mechanism that ``claims.json`` names, and draws from it under keys of
    their own; its claims are certified and audited again. If the network was defended too, give
    the one that was written as ``--model``.

    Attributes:
        folder: what `audit defend` wrote; its key lies beside it, as it was made.
    """

    folder: OwnFile

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`.

        Raises:
            UsageError: if the folder is no result of `audit defend`, or has protected pictures.
            DataError: if its rows are not those of the audited gallery.
        """
        folder = Path(self.folder)
        about = _about(folder)
        for stage in about["defenses"]:
            if "gallery" in stage["changes"]:
                params = {k: v for k, v in stage.items() if k not in ("use", "summary", "changes")}
                defense = plugins.build("defenses", stage["use"], params)
                target = apply_defense(defense, target, ctx)
        stored = read_gallery(folder / GALLERY)
        order = _order(key_folder(folder) / ROWS, target.data.gallery, len(stored))
        return replace(target, release=Written(target.release, stored.features[order]))


def _about(folder: Path) -> dict[str, Any]:
    path = folder / CLAIMS
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        changed = [set(stage["changes"]) for stage in about["defenses"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not what audit defend writes: {error}") from None
    if "gallery" not in set().union(*changed):
        raise UsageError(f"{folder} contains no stored gallery; audit its model with --model")
    if "pictures" in set().union(*changed):
        raise UsageError(
            f"{folder} contains protected pictures, which are audited as --data, not as rows"
        )
    return about


def _order(path: Path, gallery: Split, rows: int) -> Tensor:
    """Return for each picture of ``gallery``, the row of the file that is its own.

    Raises:
        DataError: if the pictures, or how often each is there, are not those of the key.
    """
    places: dict[str, list[int]] = defaultdict(list)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for entry in sorted(csv.DictReader(file), key=lambda e: int(e["source_row"])):
                places[entry["source_sha256"]].append(int(entry["row"]))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} does not say which picture a row is ({error}); it is part of the key that "
            "audit defend leaves beside the gallery"
        ) from None
    known = sum(map(len, places.values()))
    pictures = [picture_digest(gallery, row).hex() for row in range(len(gallery))]
    order = [places[picture].pop(0) for picture in pictures if places[picture]]
    if not len(order) == len(gallery) == known == rows:
        raise DataError(
            f"{len(order)} of {len(gallery)} gallery pictures are among the {rows} stored rows; "
            "audit the gallery with the data it was made of"
        )
    return torch.tensor(order)
