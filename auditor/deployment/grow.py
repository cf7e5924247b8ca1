"""`audit defend --add`: further rows for a gallery that was handed over, under its own key.

Rows that were stored stay as they are to the last bit, and each new one has noise of its own that
no row before it had. So no record is released twice, and an ε per image is what it was; what a
person is left with follows from the rows there are now.
"""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auditor import plugins
from auditor.artifacts.atomic import json_bytes, table, write
from auditor.config import DataConfig, ModelConfig
from auditor.console import Display
from auditor.data.records import picture_digest
from auditor.data.stored import StoredGallery, read_gallery
from auditor.deployment.defend import digests, gallery_bytes, public_claim
from auditor.deployment.handover import CLAIMS, GALLERY, KEY, ROWS, handover, key_folder
from auditor.embedding import released_split
from auditor.errors import UsageError
from auditor.evaluation import claims
from auditor.pipeline.environment import pick_device
from auditor.pipeline.inputs import open_configured, open_data
from auditor.report import PrivacyClaim
from auditor.types import Growing, ReIDDataset, RunContext, Target


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What `audit defend --add` is asked for.

    Attributes:
        model: the one whose gallery it is.
        data: its gallery contains the further pictures; those that are stored already are left out.
        out: what `audit defend` wrote, with its key beside it.
        device: auto, cpu or cuda.
        weights: folder of pretrained backbones, or None.
    """

    model: ModelConfig
    data: DataConfig
    out: Path
    device: str = "auto"
    weights: Path | None = None


@dataclass(frozen=True)
class Kept:
    """What was handed over, and what was kept."""

    about: dict[str, Any]
    measured: dict[str, Any]
    seed: int
    rows: list[dict[str, str]]
    stored: StoredGallery

    @classmethod
    def read(cls, out: Path) -> "Kept":
        """Read the gallery in ``out``.

        Raises:
            UsageError: if it is no gallery that can grow.
        """
        key = key_folder(out)
        try:
            about, measured, secret = (
                json.loads(path.read_text(encoding="utf-8"))
                for path in (out / CLAIMS, key / CLAIMS, key / KEY)
            )
            with (key / ROWS).open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            changes = [stage["changes"] for stage in about["defenses"]]
            kept = cls(about, measured, int(secret["seed"]), rows, read_gallery(out / GALLERY))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{out} and its key are not what audit defend left: {error}") from None
        if any(changed != ["gallery"] for changed in changes):
            raise UsageError(
                f"{out} was not made by noise on the gallery alone; rows can be added to such only"
            )
        if len(rows) != len(kept.stored):
            raise UsageError(f"{out} has {len(kept.stored)} rows, and its key {len(rows)}")
        return kept

    @property
    def additions(self) -> list[dict[str, int]]:
        """What was added so far."""
        return list(self.about.get("additions", []))


def add(job: Growth, display: Display) -> int:
    """Add the rows, rewrite claims and key, and say how many rows there are to add; all or nothing.

    Raises:
        AuditError: if there is nothing to add, or what is claimed does not cover it.
    """
    kept, device = Kept.read(job.out), pick_device(job.device)
    data, model = open_data(job.data), open_configured(job.model, device)
    if model.facts["sha256"] != kept.about["model"]["sha256"]:
        raise UsageError("this is another model than the one whose gallery it is")
    data = replace(data, gallery=data.gallery.take(_missing(data, kept)))
    with handover(job.out) as (public, private):
        ctx = RunContext(seed=kept.seed, device=device, workdir=private, weights=job.weights)
        with display.step("adding rows") as progress:
            target = _defend(Target(model.extractor, data), kept, replace(ctx, progress=progress))
            name = f"deploying.addition.{len(kept.additions)}"
            features = released_split(target, data.gallery, ctx, ctx.generator(name))
        with display.step("writing"):
            shutil.copytree(job.out, public, dirs_exist_ok=True)
            shutil.copytree(key_folder(job.out), private, dirs_exist_ok=True)
            _write(kept, target, features, ctx, public)
    return len(features)


def _missing(data: ReIDDataset, kept: Kept) -> Tensor:
    """Return the gallery pictures that are not stored yet."""
    known = {row["source_sha256"] for row in kept.rows}
    pictures = [picture_digest(data.gallery, row).hex() for row in range(len(data.gallery))]
    rows = [row for row, picture in enumerate(pictures) if picture not in known]
    if not rows:
        raise UsageError("every gallery picture of this data set is stored already")
    return torch.tensor(rows)


def _defend(target: Target, kept: Kept, ctx: RunContext) -> Target:
    """Return further rows' target under the same defenses, if what they claim covers those rows."""
    counts = Counter(int(row["source_pid"]) for row in kept.rows)
    counts.update(target.data.gallery.pids.tolist())
    counts.pop(0, None)
    for stage in kept.about["defenses"]:
        params = {k: v for k, v in stage.items() if k not in ("use", "summary", "changes")}
        defense = plugins.build("defenses", stage["use"], params)
        if not isinstance(defense, Growing):
            raise UsageError(f"{stage['use']} cannot add rows to a gallery that is handed over")
        rows = len(kept.rows) + len(target.data.gallery)
        with ctx.randomness(f"defenses.{stage['use']}"):
            grown = defense.grow(rows, max(counts.values(), default=1)).apply(target, ctx)
        target = claims.void_undone(target, grown, stage["use"])
    return target


def _write(kept: Kept, target: Target, features: Tensor, ctx: RunContext, public: Path) -> None:
    generator = ctx.generator(f"deploying.addition.{len(kept.additions)}.rows")
    gallery = target.data.gallery
    order = torch.randperm(len(gallery), generator=generator)
    pids = _pseudonyms(kept, gallery.pids, generator)[order]
    stored = kept.stored
    content = gallery_bytes(
        torch.cat([stored.features, features[order]]),
        torch.cat([stored.pids, pids]),
        torch.cat([stored.camids, gallery.camids[order]]),
    )
    write(public / GALLERY, content)
    columns = ("row", "pid", "source_row", "source_pid", "source_sha256")
    rows: list[Sequence[object]] = [[row[name] for name in columns] for row in kept.rows]
    for pid, source in zip(pids.tolist(), order.tolist(), strict=True):
        picture = picture_digest(gallery, source).hex()
        rows.append([len(rows), pid, source, int(gallery.pids[source]), picture])
    write(ctx.workdir / ROWS, table(columns, rows), mode=0o600)
    _write_claims(kept, target, len(rows), ctx, public)


def _pseudonyms(kept: Kept, pids: Tensor, generator: torch.Generator) -> Tensor:
    """Return the pseudonyms people have, and fresh ones in random order for everybody else."""
    known = {int(row["source_pid"]): int(row["pid"]) for row in kept.rows} | {0: 0}
    new = [pid for pid in pids.unique().tolist() if pid not in known]
    first = 1 + max(known.values())
    order = torch.randperm(len(new), generator=generator).tolist()
    known |= {pid: first + place for pid, place in zip(new, order, strict=True)}
    return torch.tensor([known[pid] for pid in pids.tolist()])


def _write_claims(kept: Kept, target: Target, rows: int, ctx: RunContext, public: Path) -> None:
    """Claims for the rows there are now; what was measured is of the further rows alone."""
    made = [
        _continue_claim(claim, before)
        for claim, before in zip(target.claims, kept.measured["claims"], strict=True)
    ]
    added = [*kept.additions, {"rows": rows - len(kept.rows)}]
    note = "usefulness was measured before rows were added; audit the gallery again"
    about = kept.about | {
        "claims": [public_claim(claim) for claim in made if claim.verdict != "VOID"],
        "notes": list(dict.fromkeys([*kept.about["notes"], note])),
        "additions": added,
        "files": digests(public),
    }
    about["exported"]["gallery"]["rows"] = rows
    write(public / CLAIMS, json_bytes(about))
    measured = kept.measured | {"claims": [asdict(claim) for claim in made]}
    write(ctx.workdir / CLAIMS, json_bytes(measured), mode=0o600)


def _continue_claim(claim: PrivacyClaim, before: Mapping[str, Any]) -> PrivacyClaim:
    """Return ``claim`` as the one it continues was put: its remarks, and what it keeps private."""
    private = dict.fromkeys([*before["private"], *claim.private])
    return replace(
        claim,
        remarks=tuple(before["remarks"]),
        private=tuple(private),
        distances=(),
        reconstruction=None,
    )
