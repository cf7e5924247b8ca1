"""A shifted data set written down: the folder that is given away, and what leads back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from auditor.data.joining import joined
from auditor.types import RunContext, Split, Target
from defenses.pis.mixing import Key
from defenses.pis.pose import complete
from defenses.pis.shift import Shift
from defenses.publishing import Chain
from defenses.release_folder import Part, source_hash, write_release


def export_shifted(
    defended: Target, key_name: str, ctx: RunContext, folder: Path
) -> dict[str, Any]:
    """Write the shifted train, query and gallery pictures; see `auditor.types.Exporter`.

    Train people, if the target has any, are shifted now, under a key of their own.

    Args:
        defended: whose pictures were published by a `Shift`, last of all.
        key_name: of the key of its gallery and query.
        ctx: as when they were published.
        folder: exists and is empty.
    """
    data, shift = defended.data, _last(defended)
    gallery, query = defended.originals_of_gallery, data.query
    clean = joined(gallery, query)
    secrets = _secrets(shift, clean, shift.key(clean, ctx.generator(key_name)))
    border = len(gallery)
    parts = [
        Part("gallery", gallery, data.gallery, {n: c[:border] for n, c in secrets.items()}),
        Part("query", query, defended.deployed_query, {n: c[border:] for n, c in secrets.items()}),
    ]
    if len(data.train):
        parts.insert(0, _train(defended, shift, ctx))
    facts = write_release(parts, shift.image_size, ctx, folder)
    return {**facts, "pose": shift.pose.origin, "k": len(shift.weights)}


def _last(defended: Target) -> Shift:
    publish = defended.publish
    shift = publish.second if isinstance(publish, Chain) else publish
    assert isinstance(shift, Shift)
    return shift


def _train(defended: Target, shift: Shift, ctx: RunContext) -> Part:
    """The train people under a key of their own; a mechanism that came before comes before."""
    train, publish = defended.data.train, defended.publish
    seen = train
    if isinstance(publish, Chain):
        seen = publish.first(train, ctx.generator("defenses.pis.train.before"))
    name = "defenses.pis.train"
    secrets = _secrets(shift, train, shift.key(seen, ctx.generator(name)))
    return Part("train", train, shift(seen, ctx.generator(name)), secrets)


def _secrets(shift: Shift, clean: Split, key: Key) -> Mapping[str, Sequence[str]]:
    """What was mixed into each picture, how much of it, and whether its pose was known."""
    pool = shift.pool or clean
    hashes = {row: source_hash(pool, row) for row in key.rows.unique().tolist()}
    shares = " ".join(f"{weight:g}" for weight in shift.weights)
    sure = torch.cat(
        [complete(shift.pose.points(clean.images, [row])) for row in range(len(clean))]
    )
    return {
        "partner_pids": [" ".join(map(str, pids)) for pids in key.partners.tolist()],
        "partner_sha256": [" ".join(hashes[row] for row in rows) for rows in key.rows.tolist()],
        "weights": [shares] * len(clean),
        "pose_ok": [str(bool(ok)).lower() for ok in sure],
    }
