"""A data set with shifted identities, for people who want no audit: the work of `audit shift`."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from auditor import __version__, plugins
from auditor.artifacts.atomic import json_bytes, write
from auditor.certification import controls
from auditor.console import Display
from auditor.data import open_dataset
from auditor.deployment.handover import handover
from auditor.errors import UsageError
from auditor.pipeline.environment import pick_device
from auditor.types import Continuing, Exporter, RunContext

PLUGIN = "pis"


def shift(
    data: Path,
    out: Path,
    *,
    params: Mapping[str, Any],
    seed: int | None,
    device: str,
    weights: Path | None,
) -> dict[str, Any]:
    """Write the shifted data set to ``out`` and its key to `key_folder`; both or none.

    Args:
        data: a data set to open.
        out: replaced if it exists.
        params: hyper-parameters of the plug-in.
        seed: decides the key, so whoever knows it knows the key; None draws one in secret.
        device: auto, cpu or cuda.
        weights: folder of pretrained backbones, or None.

    Raises:
        AuditError: if the data cannot be opened, the plug-in refuses, or the disk does.
    """
    defense = plugins.build("defenses", PLUGIN, params)
    if not isinstance(defense, Exporter):
        raise UsageError(f"the installed defense {PLUGIN!r} cannot write down what it protects")
    # nobody looks at these pictures through a model here; any extractor will do
    target = controls.make_null_target(open_dataset(data))
    seed = secrets.randbits(60) if seed is None else seed
    with handover(out) as (public, private):
        ctx = RunContext(seed=seed, device=pick_device(device), workdir=private, weights=weights)
        display = Display(2)
        with display.step("learn and shift") as progress:
            shifted = defense.apply(target, replace(ctx, progress=progress))
        with display.step("write") as progress:
            facts = dict(defense.export(shifted, replace(ctx, progress=progress), public))
        facts |= {"plugin": PLUGIN, "params": _portable(defense), "version": __version__}
        write(public / "release.json", json_bytes(facts))
        write(private / "key.json", json_bytes({"seed": seed}), mode=0o600)
    return facts


def shift_more(
    data: Path, out: Path, *, key: Path, seed: int | None, device: str, weights: Path | None
) -> dict[str, Any]:
    """Shift the pictures of ``data`` under the key of an earlier shift.

    Args:
        data: a data set to open; people are known by their labels in it.
        out: replaced if it exists.
        key: what `shift` kept; it knows new people afterwards.
        seed: decides who is mixed into new people; None draws one in secret.
        device: auto, cpu or cuda.
        weights: folder of pretrained backbones, or None.

    Raises:
        AuditError: if the data or the key cannot be opened, or the disk refuses.
    """
    defense = plugins.load("defenses", PLUGIN)
    if not isinstance(defense, Continuing):
        raise UsageError(f"the installed defense {PLUGIN!r} keeps no key for further pictures")
    seed = secrets.randbits(60) if seed is None else seed
    opened = open_dataset(data)
    with handover(out) as (public, private):
        ctx = RunContext(seed=seed, device=pick_device(device), workdir=private, weights=weights)
        with Display(1).step("shift"):
            facts = dict(defense.export_more(key, opened, ctx, public))
        facts |= {"plugin": PLUGIN, "version": __version__}
        write(public / "release.json", json_bytes(facts))
        write(private / "key.json", json_bytes({"seed": seed}), mode=0o600)
    return facts


def _portable(defense: object) -> dict[str, Any]:
    """Return a plug-in's parameters, paths by name only, for a release travels."""
    return {
        name: Path(value).name if isinstance(value, str) else value
        for name, value in plugins.parameters(defense).items()
    }
