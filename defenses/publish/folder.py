"""Protected pictures as a plain re-ID folder, and the key to them apart from it.

The folder has the layout of Market-1501 and a ``manifest.csv``. People get fresh labels, files get
numbers in random order, and attributes are left out. What leads back, ``identities.csv``, is a
secret: whoever has it can name everybody in the folder.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Generator, Tensor

from auditor.artifacts.atomic import table, write
from auditor.data.images import as_bytes
from auditor.data.records import picture_digest
from auditor.types import RunContext, Split, Target

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
"""Split to the layout's name of its folder."""

SECRET = "identities.csv"
COLUMNS = ("path", "pid", "camid", "split")


@dataclass(frozen=True, eq=False)
class Part:
    """One split of a release.

    Attributes:
        name: train, query or gallery.
        clean: the pictures before the protection, row for row.
        shown: the protected ones.
        secrets: further columns of the secret file, one text per row.
    """

    name: str
    clean: Split
    shown: Split
    secrets: Mapping[str, Sequence[str]] = field(default_factory=dict)


def write_published(
    defended: Target, size: tuple[int, int], ctx: RunContext, folder: Path
) -> dict[str, Any]:
    """Write train, query and gallery pictures as they are published; see `write_release`.

    Train people, if there are any, go through the mechanism now, under a key of their own.

    Args:
        defended: whose pictures are protected by a mechanism that needs no file of its own.
        size: (height, width) of the pictures.
        ctx: as when they were protected.
        folder: exists and is empty.
    """
    assert defended.publish is not None
    data = defended.data
    pairs = {
        "gallery": (defended.originals_of_gallery, data.gallery),
        "query": (data.query, defended.deployed_query),
    }
    if len(data.train):
        published = defended.publish(data.train, ctx.generator("defenses.release.train"))
        pairs = {"train": (data.train, published), **pairs}
    parts = [Part(name, clean, shown, _partners(shown)) for name, (clean, shown) in pairs.items()]
    return write_release(parts, size, ctx, folder)


def _partners(shown: Split) -> Mapping[str, Sequence[str]]:
    """Return who is shown in somebody's place, where anybody is."""
    if shown.partners is None:
        return {}
    return {"partner_pid": [str(pid) for pid in shown.partners.tolist()]}


def write_release(
    parts: Sequence[Part],
    size: tuple[int, int],
    ctx: RunContext,
    folder: Path,
    *,
    labels: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """Write the folder, and below ``ctx.workdir`` the secret file; counts for whoever may ask.

    Args:
        parts: splits of one release.
        size: (height, width) of the pictures.
        ctx: for randomness and the place of the secret.
        folder: exists and is empty.
        labels: pid -> its label, where people are published under labels they have already.

    Raises:
        EnvironmentUnmetError: if the disk refuses.
    """
    generator = ctx.generator("defenses.release")
    pids = torch.cat([part.clean.pids for part in parts])
    if labels is None:
        given = pseudonyms(pids, generator)
    else:
        given = torch.tensor([labels[pid] if pid else 0 for pid in pids.tolist()])
    columns = given.split([len(part.clean) for part in parts])
    public: list[list[str]] = []
    secret: list[dict[str, str]] = []
    for part, fresh in zip(parts, columns, strict=True):
        rows = _write_part(part, fresh, size, folder, generator)
        public += [row for row, _ in rows]
        secret += [{**known, "path": row[0]} for row, known in rows]
    public.sort()
    write(folder / "manifest.csv", table(COLUMNS, public))
    names = list(dict.fromkeys(name for row in secret for name in row))
    lines = [[row.get(name, "") for name in names] for row in secret]
    write(ctx.workdir / SECRET, table(names, lines), mode=0o600)
    return {
        "images": {part.name: len(part.clean) for part in parts},
        "identities": len(pids[pids > 0].unique()),
        "image_size": list(size),
        "labels": "fresh pseudonyms, larger than any label in the source",
    }


def pseudonyms(pids: Tensor, generator: Generator) -> Tensor:
    """Return a fresh label ``(N,)`` for each person of ``pids (N,)``, in random order.

    0 stays 0.
    """
    people = pids[pids > 0].unique()
    first = int(pids.max()) + 1 if len(pids) else 1
    labels = first + torch.randperm(len(people), generator=generator)
    fresh = torch.zeros_like(pids)
    fresh[pids > 0] = labels[torch.searchsorted(people, pids[pids > 0])]
    return fresh


def source_hash(split: Split, row: int) -> str:
    """See `auditor.data.records.picture_digest`."""
    return picture_digest(split, row).hex()


def _write_part(
    part: Part, labels: Tensor, size: tuple[int, int], folder: Path, generator: Generator
) -> list[tuple[list[str], dict[str, str]]]:
    """Write the pictures of one split; of each its public and its secret row."""
    (folder / FOLDERS[part.name]).mkdir()
    # the order of writing is random too: a file's time would otherwise tell its place in the source
    order = torch.randperm(len(part.clean), generator=generator).tolist()
    rows = []
    for number, row in enumerate(order):
        label, camid = int(labels[row]), int(part.clean.camids[row])
        path = f"{FOLDERS[part.name]}/{label:04d}_c{camid + 1}_s1_{number:06d}.png"
        _write_picture(part.shown, row, size, folder / path)
        public = [path, str(label), str(camid) if camid >= 0 else "", part.name]
        known = {
            "path": path,
            "pid": str(label),
            "source_pid": str(int(part.clean.pids[row])),
            "source_sha256": source_hash(part.clean, row),
            **{name: column[row] for name, column in part.secrets.items()},
        }
        rows.append((public, known))
    return rows


def _write_picture(split: Split, row: int, size: tuple[int, int], path: Path) -> None:
    pixels = as_bytes(split.images.load([row], size)[0])
    encoded = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(encoded, "PNG")
    path.write_bytes(encoded.getvalue())
