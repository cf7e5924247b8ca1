"""What each attack and defense costs, for the estimates of `audit plan`.

``python benchmarks/costs.py`` runs every installed attack and defense on synthetic people, in one
thread, and writes to ``auditor/presets/costs.yaml`` its processor time, and how many pictures it
put to the model beside the features that all attacks share. Training is cut short, as an estimate
scales it back. A plug-in that takes longer than ``--limit`` seconds gets no figure. With ``--only``
the speed of the machine stays as it was recorded, so use the same one.
"""

import argparse
import json
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml

from attacks.adaptive.mixing import Mixing
from auditor import plugins
from auditor.config import preset_defaults
from auditor.data.synthetic import make_world
from auditor.deployment.defend import write_gallery
from auditor.deployment.handover import CLAIMS, key_folder
from auditor.embedding import features_of, stored_gallery
from auditor.evaluation.budget import COSTS, cost_of
from auditor.evaluation.claims import apply_defense
from auditor.feature_cache import FeatureCache
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.reference import load_reference
from auditor.pipeline.calibration import calibrate
from auditor.plugins.results import run_contained
from auditor.types import Protection, ReIDDataset, RunContext, Target

KINDS: tuple[plugins.Kind, ...] = ("attacks", "defenses")
SHORT, SLOW = 4, 10
"""By which trainings are divided, and those of plug-ins that say they are slow."""
ITERATING = ("gradient",)
"""Families of attacks that take long and train no network, which is what `slow` says."""
BESIDE = ("joint_epochs", "rounds", "queries")
"""What is divided beside the first of `COSTS` that a plug-in has."""
LONG = 3.0
"""Seconds from which on it is found out what a plug-in takes beside its training."""
OTHER = "other"
"""Judge that is the own network of an adversary who must not have the audited one."""
OWN_SIZE = (
    *("dlg", "idlg", "gradient_inversion", "score_api"),
    *("model_extraction", "model_extraction_network"),
)
"""Attacks whose work is set by their parameters, however many people there are."""
COPYISTS = {"latent_descent_copy": "latent_descent"}
"""Attacks that begin with a copy of the model, and those that do the same without one."""
COPIED = 2500
"""Answers that the copy is made of: fewer are shown more often, and take as long."""
HEAD = """\
# What plug-ins took on synthetic people, in one thread; written by benchmarks/costs.py.
# seconds: of processor, beside the model's; asked: pictures put to the model; params: with which;
# once: of both, what does not grow with the training; copy: both, of copying the model.
"""
PLACE = Path(str(resources.files("auditor"))) / "presets" / "costs.yaml"


class TooLongError(BaseException):
    """A plug-in has used up its processor time; no plug-in's own handler may swallow it."""


class Counter:
    """Counts the pictures that a network is given."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.pictures, self.seconds = 0, 0.0
        network.register_forward_pre_hook(self._begin)
        network.register_forward_hook(self._end)

    def _begin(self, network: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        self.pictures += len(given[0])
        self._began = time.process_time()

    def _end(self, *_: object) -> None:
        self.seconds += time.process_time() - self._began


def settings(kind: plugins.Kind, name: str) -> dict[str, Any]:
    """Return the quick preset's parameters, or else those it has by itself, with less training."""
    given = dict(preset_defaults("quick")[kind].get(name, {}))
    if name == "deployed":
        return {"folder": "defended"}
    if name.startswith("alignment"):
        given["own_model"] = OTHER
    plugin = plugins.build(kind, name, given)
    slow = kind == "defenses" or plugins.describe(plugin).slow
    divisor = SLOW if slow or getattr(plugin, "family", "") in ITERATING else SHORT
    counts = [field for field in COSTS if type(getattr(plugin, field, None)) is int]
    for field in (*counts[:1], *(field for field in BESIDE if hasattr(plugin, field))):
        given[field] = max(1, getattr(plugin, field) // divisor)
    if slow and hasattr(plugin, "image_size"):
        given["image_size"] = [64, 32]
    return given


def prepare(family: str, target: Target) -> Target:
    """Return a target of the same size that an attack of this ``family`` applies to."""
    data = target.data
    if family == "membership":
        people = data.auxiliary.pids.unique()
        own = torch.isin(data.auxiliary.pids, people[: len(people) // 2])
        members, others = (data.auxiliary.take(rows.nonzero().flatten()) for rows in (~own, own))
        return replace(target, data=replace(data, train=members, auxiliary=others))
    if family == "unshift":
        shifted = Mixing()(data.gallery, torch.Generator().manual_seed(0))
        protection = Protection(originals=data.gallery, publish=Mixing())
        return replace(target, data=replace(data, gallery=shifted), protection=protection)
    return target


def write_defended(target: Target, ctx: RunContext) -> None:
    """Write a gallery under noise to where `Deployed` is told that it is."""
    folder = Path(settings("defenses", "deployed")["folder"])
    key = key_folder(folder)
    for made in (folder, key):
        made.mkdir()
    params = settings("defenses", "dp_gallery")
    defended = apply_defense(plugins.build("defenses", "dp_gallery", params), target, ctx)
    write_gallery(defended, replace(ctx, workdir=key), folder)
    stage = {"use": "dp_gallery", **params, "summary": "", "changes": ["gallery"]}
    (folder / CLAIMS).write_text(json.dumps({"defenses": [stage]}))


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TooLongError` after so much processor time."""

    def stop(*_: object) -> None:
        raise TooLongError

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def measure(
    kind: plugins.Kind, name: str, target: Target, ctx: RunContext, limit: float
) -> dict[str, Any]:
    """Return what a plug-in took, and the parameters that an estimate scales.

    What it took beside its training shows in a second run, of twice as much training.
    """
    if name in COPYISTS:
        return measure_copyist(name, target, ctx, limit)
    given = settings(kind, name)
    seconds, asked = run_timed(kind, name, given, target, ctx, limit)
    found = {"seconds": round(seconds, 3), "asked": asked, "params": given}
    if (field := cost_of(plugins.build(kind, name, given))) in given and seconds > LONG:
        more = given | {field: 2 * given[field]}
        longer, asked_longer = run_timed(kind, name, more, target, ctx, limit)
        found["once"] = {
            "seconds": round(min(seconds, max(0.0, 2 * seconds - longer)), 3),
            "asked": min(asked, max(0, 2 * asked - asked_longer)),
        }
    return found | ({"fixed": True} if name in OWN_SIZE else {})


def measure_copyist(name: str, target: Target, ctx: RunContext, limit: float) -> dict[str, Any]:
    """Return `measure` of an attack that copies the model first, the copy told apart."""
    given = settings("attacks", name) | {"queries": COPIED}
    seconds, asked = run_timed("attacks", name, given, target, ctx, limit)
    rest = measure("attacks", COPYISTS[name], target, ctx, limit)
    copy = {
        "seconds": round(max(0.0, seconds - rest["seconds"]), 3),
        "asked": max(0, asked - rest["asked"]),
    }
    return rest | {"params": given, "copy": copy}


def run_timed(
    kind: plugins.Kind,
    name: str,
    given: dict[str, Any],
    target: Target,
    ctx: RunContext,
    limit: float,
) -> tuple[float, int]:
    """Return the seconds that a plug-in took, without the model's, and the pictures it asked."""
    plugin = plugins.build(kind, name, given)
    target = prepare(getattr(plugin, "family", ""), target)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        ctx = replace(ctx, workdir=Path(folder), cache=FeatureCache())
        for split in (target.data.query, target.data.gallery, target.data.auxiliary):
            features_of(target.extractor, split, ctx)
        if name == "deployed":
            write_defended(target, ctx)
        counter = Counter(target.extractor.network)  # type: ignore[attr-defined]
        began = time.process_time()
        with limited(limit):
            run(kind, plugin, target, ctx)
        seconds = time.process_time() - began
    return max(0.0, seconds - counter.seconds), counter.pictures


def run(kind: plugins.Kind, plugin: Any, target: Target, ctx: RunContext) -> None:
    """Run an attack, or apply a defense and embed what it protects."""
    if kind == "attacks":
        run_contained(plugin, target, ctx)
        return
    after = apply_defense(plugin, target, ctx)
    stored_gallery(after, ctx)
    features_of(after.extractor, after.data.query, ctx)


def save(written: dict[str, Any]) -> None:
    """Write the table, its plug-ins by name."""
    ordered = {key: written[key] for key in ("pictures", "gflops", "rate") if key in written}
    ordered |= {kind: dict(sorted(written.get(kind, {}).items())) for kind in KINDS}
    PLACE.write_text(HEAD + yaml.safe_dump(ordered, sort_keys=False, default_flow_style=None))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("--only", nargs="*", help="plug-ins to measure; the others' figures stay")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = make_world(identities=80, auxiliary=160, cameras=3, images_per_camera=2, seed=20)
    written: dict[str, Any] = yaml.safe_load(PLACE.read_text()) if PLACE.exists() else {}
    if options.only is None:
        written |= measure_machine(data)
    for kind in KINDS:
        for name in plugins.installed(kind):
            if options.only is not None and name not in options.only:
                continue
            extractor, other = open_extractor(128, 64), open_extractor(64, 32)
            judges = {"target": extractor, OTHER: other}
            ctx = RunContext(device=torch.device("cpu"), judges=judges)
            try:
                found = measure(kind, name, Target(extractor, data), ctx, options.limit)
            except (Exception, TooLongError) as error:
                print(f"{name}: no figure: {type(error).__name__} {error}", flush=True)
                continue
            print(name, found, flush=True)
            written.setdefault(kind, {})[name] = found
            save(written)


def measure_machine(data: ReIDDataset) -> dict[str, int]:
    """Return how many pictures plug-ins are measured on, and how fast this machine is."""
    speed = calibrate(open_extractor(128, 64), data.query, torch.device("cpu"))
    pictures = sum(map(len, (data.query, data.gallery, data.auxiliary)))
    return {
        "pictures": pictures,
        "gflops": round(speed.gflops),
        "rate": round(speed.pictures or 0),
    }


def open_extractor(height: int, width: int) -> CardedExtractor:
    """Return the shipped network at a size of its input."""
    return CardedExtractor(load_reference(), Card(height=height, width=width, l2_norm=True))


if __name__ == "__main__":
    main()
