"""Protections of pictures on real people: what they hide, and what they leave to work with.

`python benchmarks/pictures.py --data DIR --judge NAME=FILE … [--with NAME …] [--people 100]
[--set NAME.KEY=VALUE …] [--weights DIR]` protects the pictures of some of a dataset's attacked
people with each defense, and lets each judge, an exported extractor at 256×128, search: with clean
queries, which is leakage, and with queries protected under the gallery's key, which is what a
deployment is left with. A person has at most three queries and six gallery pictures. All
pictures are published at 64×32. Prints one row per defense and judge; brackets are 95% intervals
over people. Nothing is written.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from attacks.identity import IdentityRetrieval
from auditor import plugins
from auditor.certification import controls
from auditor.config import put
from auditor.config.blocks import Links
from auditor.data import open_dataset
from auditor.evaluation.claims import apply_defense
from auditor.evaluation.utility import measurements, search
from auditor.models import open_model
from auditor.models.card import card_from
from auditor.report import Measurement
from auditor.types import FeatureExtractor, ReIDDataset, RunContext, Split, Target

SIZE = (64, 32)
SMALL = ("downscale", {"image_size": SIZE})
METHODS: Mapping[str, Links] = {
    "original": [],
    "downscale": [SMALL],
    "remove_head": [("remove_head", {}), SMALL],
    "remove_body": [("remove_body", {}), SMALL],
    "blur_S": [("blur", {"kernel": (11, 5)}), SMALL],
    "blur_L": [("blur", {"kernel": (21, 11)}), SMALL],
    "pixelation": [("pixelation", {"block": 8}), SMALL],
    "random_image": [("random_image", {}), SMALL],
    "pis": [("pis", {"image_size": SIZE})],
    "vunet": [("vunet", {"image_size": SIZE})],
    "dgnet": [("dgnet", {"image_size": SIZE})],
    "laplace": [("pis", {"image_size": SIZE, "noise": "laplace"})],
}
"""Row -> its defenses. All publish at one size; ``downscale`` is what that hides by itself."""


def some(data: ReIDDataset, people: int, seed: int) -> ReIDDataset:
    """Return ``data`` with ``people`` attacked people, a few pictures of each, no distractors."""
    known = data.query.pids.unique()
    draw = torch.Generator().manual_seed(seed)
    chosen = known[torch.randperm(len(known), generator=draw)[:people]]

    def few(split: Split, limit: int) -> Split:
        rows = [(split.pids == pid).nonzero().flatten() for pid in chosen.sort().values]
        return split.take(
            torch.cat([row[torch.randperm(len(row), generator=draw)[:limit]] for row in rows])
        )

    return replace(data, query=few(data.query, 3), gallery=few(data.gallery, 6))


def shown(m: Measurement) -> str:
    """Return a figure and its interval in percent."""
    return f"{100 * m.value:5.1f} [{100 * m.low:.1f}, {100 * m.high:.1f}]"


def row(target: Target, judge: FeatureExtractor, ctx: RunContext) -> str:
    """Leakage and what is left, of a target with ``judge`` for its extractor."""
    judged = replace(target, extractor=judge)
    leak = {m.metric: m for m in IdentityRetrieval().run(judged, ctx).measurements}
    left = {m.metric: m for m in measurements(search(judged, ctx, "cosine"), judged)}
    own = leak.get("own_rank1", leak["retrieved_rank1"])
    cells = (leak["retrieved_rank1"], leak["retrieved_map"], own, left["rank1"], left["map"])
    return " | ".join(shown(cell) for cell in cells)


def protect(links: Links, given: Mapping[str, Any], target: Target, ctx: RunContext) -> Target:
    """Return ``target`` under a row's defenses; ``given`` replaces parameters of the first one."""
    for position, (name, params) in enumerate(links):
        given_here = {} if position else given
        defense = plugins.build("defenses", name, {**params, **given_here})
        target = apply_defense(defense, target, ctx)
    return target


def main() -> None:
    """Protect, search, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--judge", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--with", action="append", dest="methods", choices=METHODS)
    parser.add_argument("--set", action="append", dest="settings", default=[])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data = some(open_dataset(args.data), args.people, args.seed)
    ctx = RunContext(seed=args.seed, weights=args.weights)
    judges = {
        name: open_model(
            Path(file), arch=None, card=card_from("torchreid", {}), device=torch.device("cpu")
        ).extractor
        for name, _, file in (judge.partition("=") for judge in args.judge)
    }
    given: dict[str, Any] = {}
    for setting in args.settings:
        put(given, setting)
    bare = controls.make_null_target(data)
    print(f"{len(data.query)} queries, {len(data.gallery)} entries, {args.people} people")
    print("defense judge | leak rank1 | leak map | own rank1 | linked rank1 | linked map")
    for name in args.methods or METHODS:
        began = time.process_time()
        target = protect(METHODS[name], given.get(name, {}), bare, ctx)
        print(f"{name}: {time.process_time() - began:.0f} CPU-s to protect", file=sys.stderr)
        for label, judge in judges.items():
            print(f"{name} {label} | {row(target, judge, ctx)}", flush=True)


if __name__ == "__main__":
    main()
