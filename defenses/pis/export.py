"""A shifted data set written down: the folder that is given away, and what leads back."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from auditor.data.joining import join_splits
from auditor.types import ReIDDataset, RunContext, Split, Target
from defenses.pis.keeping import KeptShift
from defenses.pis.mixing import Key
from defenses.pis.pose import complete
from defenses.pis.shift import Shift
from defenses.publish.folder import SECRET, Part, source_hash, write_release
from defenses.publish.publish import Chain


def export_shifted(
    defended: Target, key_name: str, params: Mapping[str, Any], ctx: RunContext, folder: Path
) -> dict[str, Any]:
    """Write the shifted train, query and gallery pictures; see `auditor.types.Exporter`.

    Train people, if the target has any, are shifted now, under a key of their own. With the secrets
    goes what further pictures of gallery and query people are shifted with, see
    `defenses.pis.keeping`; not where another protection came before or noise stands for partners.

    Args:
        defended: whose pictures were published by a `Shift`, last of all.
        params: of the plug-in.
        key_name: of the key of its gallery and query.
        ctx: as when they were published.
        folder: exists and is empty.
    """
    data, shift = defended.data, _last(defended)
    gallery, query = defended.originals_of_gallery, data.query
    clean = join_splits(gallery, query)
    key = shift.key(clean, ctx.generator(key_name))
    secrets = _secrets(shift, clean, key)
    border = len(gallery)
    parts = [
        Part("gallery", gallery, data.gallery, {n: c[:border] for n, c in secrets.items()}),
        Part("query", query, defended.deployed_query, {n: c[border:] for n, c in secrets.items()}),
    ]
    if len(data.train):
        parts.insert(0, _train(defended, shift, ctx))
    facts = write_release(parts, shift.image_size, ctx, folder)
    if not shift.noise and not isinstance(defended.publish, Chain):
        _keep(shift, clean, key, params, ctx).save(ctx.workdir)
    return {**facts, "pose": shift.pose.origin, "k": len(shift.weights)}


def _keep(
    shift: Shift, clean: Split, key: Key, params: Mapping[str, Any], ctx: RunContext
) -> KeptShift:
    partners = shift.partners(clean, key)
    people = clean.pids[clean.pids > 0].unique().tolist()
    first = torch.tensor([int((clean.pids == pid).nonzero()[0]) for pid in people])
    with (ctx.workdir / SECRET).open(encoding="utf-8", newline="") as file:
        labels = {int(row["source_pid"]): int(row["pid"]) for row in csv.DictReader(file)}
    scales = zip(*partners, strict=True)
    return KeptShift(
        params=params,
        origin=shift.pose.origin,
        labels={pid: labels[pid] for pid in people},
        network=shift.network.state_dict(),
        partners=[torch.stack([mean[first] for mean in scale], dim=1) for scale in scales],
    )


def export_more(
    shift: Shift, kept: KeptShift, data: ReIDDataset, ctx: RunContext, folder: Path
) -> dict[str, Any]:
    """Write further pictures, shifted as those of the same people were.

    Args:
        shift: with the kept generator.
        kept: knows everybody in ``data``.
        data: the further pictures, whichever split they are in.
        ctx: its ``workdir`` is for secrets.
        folder: exists and is empty.
    """
    parts = []
    splits = {"train": data.train, "gallery": data.gallery, "query": data.query}
    for name, split in splits.items():
        if not len(split):
            continue
        generator = ctx.generator(f"defenses.pis.more.{name}")
        shown = shift.shift_again(split, kept.of(split.pids, generator), generator)
        parts.append(Part(name, split, shown))
    facts = write_release(parts, shift.image_size, ctx, folder, labels=kept.labels)
    return {**facts, "pose": shift.pose.origin, "k": len(shift.weights)}


def _last(defended: Target) -> Shift:
    publish = defended.publish
    shift = publish.second if isinstance(publish, Chain) else publish
    assert isinstance(shift, Shift)
    return shift


def _train(defended: Target, shift: Shift, ctx: RunContext) -> Part:
    """Shift the training people under a key of their own, after any mechanism before."""
    train, publish = defended.data.train, defended.publish
    seen = train
    if isinstance(publish, Chain):
        seen = publish.first(train, ctx.generator("defenses.pis.train.before"))
    name = "defenses.pis.train"
    secrets = _secrets(shift, train, shift.key(seen, ctx.generator(name)))
    return Part("train", train, shift(seen, ctx.generator(name)), secrets)


def _secrets(shift: Shift, clean: Split, key: Key) -> Mapping[str, Sequence[str]]:
    """Return what was mixed into each picture, how much of it, and whether its pose was known."""
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
