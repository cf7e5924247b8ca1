"""What each attack and defense costs, for the estimates of `audit plan`.

``python benchmarks/costs.py`` runs every installed attack and defense on synthetic people, in one
thread, and writes to ``auditor/presets/costs.yaml`` its processor time, and how many pictures it
put to the model beside the features that all attacks share. Training is cut short, as an estimate
scales it back. A plug-in that takes longer than ``--limit`` seconds gets no figure.
"""

import argparse
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml

from auditor import plugins
from auditor.config import preset_defaults
from auditor.data.synthetic import make_world
from auditor.embedding import features_of, stored_gallery
from auditor.evaluation.budget import COSTS
from auditor.evaluation.claims import apply_defense
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.reference import load_reference
from auditor.pipeline.calibration import calibrate
from auditor.plugins.results import run_contained
from auditor.types import RunContext, Target

KINDS: tuple[plugins.Kind, ...] = ("attacks", "defenses")
SHORT, SLOW = 4, 20
"""By which trainings are divided, and those of plug-ins that say they are slow."""
HEAD = """\
# What plug-ins took on synthetic people, in one thread; written by benchmarks/costs.py.
# seconds: of processor, beside the model's; asked: pictures put to the model; params: with which.
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
    plugin = plugins.build(kind, name, given)
    slow = kind == "defenses" or plugins.describe(plugin).slow
    for field in COSTS:
        if type(value := getattr(plugin, field, None)) is int:
            given[field] = max(1, value // (SLOW if slow else SHORT))
            break
    if slow and hasattr(plugin, "image_size"):
        given["image_size"] = [64, 32]
    return given


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
    """Return what a plug-in took, and the parameters that an estimate scales."""
    given = settings(kind, name)
    plugin = plugins.build(kind, name, given)
    counter = Counter(target.extractor.network)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder, limited(limit):
        ctx = replace(ctx, workdir=Path(folder))
        began = time.process_time()
        if kind == "attacks":
            run_contained(plugin, target, ctx)
        else:
            after = apply_defense(plugin, target, ctx)
            stored_gallery(after, ctx)
            features_of(after.extractor, after.data.query, ctx)
        seconds = time.process_time() - began
    return {
        "seconds": round(max(0.0, seconds - counter.seconds), 3),
        "asked": counter.pictures,
        "params": given,
    }


def save(written: dict[str, Any]) -> None:
    """Write the table, its plug-ins by name."""
    ordered = {key: written[key] for key in ("pictures", "gflops", "rate") if key in written}
    ordered |= {kind: dict(sorted(written.get(kind, {}).items())) for kind in KINDS}
    PLACE.write_text(HEAD + yaml.safe_dump(ordered, sort_keys=False, default_flow_style=None))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=60)
    parser.add_argument("--only", nargs="*", help="plug-ins to measure; the others' figures stay")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = make_world(identities=80, auxiliary=160, cameras=3, images_per_camera=2, seed=20)
    splits = (data.query, data.gallery, data.auxiliary)
    written: dict[str, Any] = yaml.safe_load(PLACE.read_text()) if PLACE.exists() else {}
    for kind in KINDS:
        for name in plugins.installed(kind):
            if options.only is not None and name not in options.only:
                continue
            extractor = CardedExtractor(load_reference(), Card(height=128, width=64, l2_norm=True))
            ctx = RunContext(device=torch.device("cpu"), judges={"target": extractor})
            for split in splits:
                features_of(extractor, split, ctx)
            try:
                found = measure(kind, name, Target(extractor, data), ctx, options.limit)
            except (Exception, TooLongError) as error:
                print(f"{name}: no figure: {type(error).__name__} {error}", flush=True)
                continue
            print(name, found, flush=True)
            written.setdefault(kind, {})[name] = found
            save(written)
    speed = calibrate(extractor, data.query, torch.device("cpu"))
    written |= {"pictures": sum(map(len, splits))}
    written |= {"gflops": round(speed.gflops), "rate": round(speed.pictures or 0)}
    save(written)


if __name__ == "__main__":
    main()
