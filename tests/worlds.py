"""Small worlds with a known answer: one that leaks everything, one that leaks nothing."""

import atexit
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch

from attacks.protocol.own_network import shipped_network
from auditor import plugins
from auditor.certification import controls
from auditor.data.synthetic import make_world
from auditor.data.tracklets import pool_dataset
from auditor.deployment.defend import write_gallery
from auditor.deployment.handover import CLAIMS, key_folder
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.reference import load_reference
from auditor.types import (
    FeatureExtractor,
    Images,
    MemoryImages,
    Protection,
    Publish,
    ReIDDataset,
    RunContext,
    Split,
    Target,
)

WANTED = os.environ.get("AUDITOR_TEST_DEVICE", "cpu")
"""Where the worlds compute; `benchmarks/gpu.sh` runs the contract tests on ``cuda``."""
if WANTED == "simulated":
    import tests.simulated  # noqa: F401 - makes the device known
DEVICE = torch.device(WANTED)

QUICK = {
    "identity": {"epochs": 15},
    "identity_metric": {"steps": 10},
    "linkage_metric": {"steps": 10},
    "model_extraction": {"queries": 600},
    "alignment": {"curve": (), "min_people": 5},
    "alignment_composite": {"image_size": (32, 16), "candidates": 8},
    "model_extraction_network": {"queries": 600, "epochs": 1, "steps": 1},
    "distribution": {"min_people": 5},
    "distribution_bbse": {"min_people": 5},
    "description": {"min_people": 3},
    "description_gaussian": {"min_people": 3},
    "watch_list": {"fpir": 0.1},
    "watch_list_normalised": {"fpir": 0.1},
    "watch_list_plda": {"fpir": 0.1},
    "identity_mlp": {"epochs": 60},
    "attribute": {"epochs": 10, "batch_size": 64, "min_people": 5},
    "attribute_logistic": {"min_people": 5},
    "attribute_expansion": {"min_people": 5},
    "attribute_boosting": {"iterations": 20, "neighbours": 0, "min_people": 5},
    "inversion": {"image_size": (32, 16), "width": 8, "epochs": 1, "per_person": 2},
    "fully_connected_gan": {"epochs": 2, "hidden": 128, "critic_hidden": 16},
    "composite": {"image_size": (32, 16)},
    "identity_decoder": {"image_size": (32, 16), "width": 8, "epochs": 1, "surrogate_epochs": 1},
    "optimization": {"image_size": (32, 16), "grid": (32, 16), "iterations": 40},
    "diffusion": {"image_size": (32, 16), "width": 8, "epochs": 2, "steps": 3, "samples": 2},
    "prior_inversion": {"samples": 4, "rounds": 0, "epochs": 2},
    "latent_descent": {"samples": 4, "rounds": 0, "epochs": 2, "steps": 4},
    "latent_descent_copy": {
        **{"samples": 4, "rounds": 0, "epochs": 2, "steps": 4},
        **{"queries": 200, "copy_epochs": 1, "copy_steps": 1},
    },
    "unshift": {"keys": 2, "epochs": 2},
    "translation": {"epochs": 3, "image_size": (32, 16)},
    "mse_decoder": {
        "image_size": (32, 16),
        "width": 16,
        "epochs": 16,
        "batch_size": 32,
        "lr": 4e-3,
    },
    "score_api": {
        "people": 8,
        "queries": 600,
        "starts": 30,
        "image_size": (32, 16),
        "directions": 64,
        "population": 12,
    },
    "score_trilateration": {"queries": 320},
    "membership_augmentation": {"per_person": 2},
    "membership_similarity": {"known_share": 0.3},
    "membership_lira": {
        "shadows": 2,
        "epochs": 20,
        "batch_size": 32,
        "width": 8,
        "image_size": (32, 16),
        "per_person": 2,
    },
    "dlg": {"images": 24, "image_size": (8, 8), "iterations": 6},
    "idlg": {"images": 24, "image_size": (8, 8), "iterations": 6},
}
"""Hyper-parameters with which each built-in attack still wins on the leaky world, in seconds."""

BRIEF = {"epochs": 1, "steps": 2, "people": 4, "views": 2, "image_size": (32, 16), "width": 8}
RETRAINED = ("deid", "adversarial", "dp_sgd", "federated", "retrain")
"""Defenses that retrain the extractor, so they need one that can be."""
TINY_SHIFT = {
    "image_size": (32, 16),
    "width": 4,
    "blocks": 1,
    "latent": 4,
    "epochs": 1,
    "joint_epochs": 1,
    "batch_size": 64,
}
QUICK_DEFENSES: dict[str, dict[str, object]] = {
    "deid": BRIEF,
    "adversarial": {**BRIEF, "period": 1},
    "retrain": {"epochs": 1, "steps": 2, "people": 4, "views": 2},
    "dp_sgd": {
        "epochs": 1,
        "batch": 20,
        "unit": "identity",
        "views": 1,
        "noise_multiplier": 1.0,
        "randomness": "seed",
        "canaries": 10,
    },
    "federated": {"rounds": 1, "people": 50, "views": 2},
    "pis": {**TINY_SHIFT, "joint_epochs": 0, "batch_size": 128},
    "vunet": {**TINY_SHIFT, "joint_epochs": 0, "batch_size": 128},
    "dgnet": {**TINY_SHIFT, "joint_epochs": 0, "batch_size": 128},
}
"""Hyper-parameters with which each built-in defense is done in seconds."""


@cache
def people() -> ReIDDataset:
    """Twenty-four attacked and a hundred auxiliary synthetic people, three cameras."""
    return make_world(identities=24, auxiliary=100, cameras=3, images_per_camera=2, seed=7)


@cache
def few() -> ReIDDataset:
    """Eight attacked and twenty-four auxiliary synthetic people, for runs of the whole pipeline."""
    return make_world(identities=8, auxiliary=24, cameras=3, images_per_camera=2, seed=7)


def context(workdir: Path, seed: int = 0) -> RunContext:
    """A context that writes below ``workdir``."""
    workdir.mkdir(parents=True, exist_ok=True)
    return RunContext(seed=seed, device=DEVICE, workdir=workdir)


@cache
def plain_context() -> RunContext:
    """A context for whatever needs one and writes nothing."""
    return RunContext(device=DEVICE)


@cache
def leaky() -> Target:
    """An extractor that spells out identity, attributes and a thumbnail."""
    return controls.make_planted_target(people(), plain_context())


@cache
def walking() -> Target:
    """The leaky extractor on people who walk: an entry is a tracklet of two pictures."""
    world = make_world(
        identities=24, auxiliary=100, cameras=3, images_per_camera=3, seed=7, walks=True
    )
    bare = controls.make_planted_target(world, plain_context())
    return replace(bare, data=pool_dataset(bare.data, "mean"))


@cache
def trainable() -> Target:
    """The shipped extractor, small, on synthetic people it has not seen."""
    return Target(
        CardedExtractor(load_reference(), Card(height=64, width=32, l2_norm=True)).to(DEVICE),
        people(),
    )


@cache
def written() -> Path:
    """What `audit defend` leaves of the leaky world's gallery under some noise."""
    folder = Path(mkdtemp(prefix="written")) / "out"
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    key = key_folder(folder)
    for made in (folder, key):
        made.mkdir()
    params = {"epsilon": 1e5, "trials": 200}
    defended = plugins.build("defenses", "dp_gallery", params).apply(leaky(), plain_context())
    write_gallery(defended, replace(plain_context(), workdir=key), folder)
    stage = {"use": "dp_gallery", **params, "summary": "", "changes": ["gallery"]}
    (folder / CLAIMS).write_text(json.dumps({"defenses": [stage]}))
    return folder


class Turned(torch.nn.Module):
    """Another extractor's unit features, turned about a random axis, and a little noisy."""

    differentiable = False

    def __init__(self, network: FeatureExtractor, noise: float = 0.01) -> None:
        super().__init__()
        self.network, self.noise = network, noise
        self.feature_dim, self.input_size = network.feature_dim, network.input_size
        generator = torch.Generator().manual_seed(0)
        square = torch.randn(self.feature_dim, self.feature_dim, generator=generator)
        self.turn = torch.nn.Parameter(torch.linalg.qr(square).Q, requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        turned = torch.nn.functional.normalize(self.network(images), dim=1) @ self.turn
        # the same noise for the same picture
        return turned + self.noise * torch.sin(1e4 * turned.roll(1, 1))


@cache
def turned() -> Target:
    """Fifty people and the shipped network's features, turned: only shapes can be compared."""
    data = make_world(identities=50, auxiliary=20, cameras=3, images_per_camera=4, seed=7)
    return Target(Turned(shipped_network(DEVICE)).to(DEVICE), data)


@cache
def blind() -> Target:
    """An extractor whose features have nothing to do with the picture."""
    return controls.make_null_target(people())


@dataclass(frozen=True, eq=False)
class Altered:
    """A protection of pictures that does the same known thing to each of them; no key."""

    change: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, split: Split, generator: torch.Generator) -> Split:
        return replace(split, images=AlteredImages(split.images, self.change))


@dataclass(frozen=True)
class AlteredImages:
    source: Images
    change: Callable[[torch.Tensor], torch.Tensor]

    def __len__(self) -> int:
        return len(self.source)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> torch.Tensor:
        return self.change(self.source.load(indices, size))


INVERTIBLE = {
    "permuted channels": Altered(lambda images: images[:, [1, 2, 0]]),
    "mirrored": Altered(lambda images: images.flip(3)),
    "negative": Altered(lambda images: 1 - images),
}
"""Protections that hide nothing from whoever knows them."""


def told(target: Target, publish: Publish) -> Target:
    """``target`` whose adversaries are told that ``publish`` protects the pictures."""
    protection = target.protection or Protection(originals=target.data.gallery)
    return replace(target, protection=replace(protection, publish=publish))


def altered(target: Target, publish: Altered) -> Target:
    """``target`` with its gallery and its deployment's queries protected by ``publish``."""
    nobody = torch.Generator()
    gallery = target.data.gallery
    return replace(
        target,
        data=replace(target.data, gallery=publish(gallery, nobody)),
        protection=Protection(
            originals=gallery, publish=publish, query=publish(target.data.query, nobody)
        ),
    )


class NanExtractor(torch.nn.Module):
    """Loads and runs, and returns nothing but NaN."""

    feature_dim = 8
    input_size = (32, 16)

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images), 8), torch.nan)


class OneNumber(torch.nn.Module):
    """Gives one number for a whole batch, which is no extractor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean()


class Flatten(torch.nn.Module):
    """The pixels themselves, centred, as the feature."""

    feature_dim = 24
    input_size = (4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) - 0.5


def crowd(*pids: int) -> Target:
    """A gallery of random pictures of the given people, and nothing else."""

    def split(column: torch.Tensor) -> Split:
        generator = torch.Generator().manual_seed(3)
        size = (len(column), 3, *Flatten.input_size)
        images = MemoryImages(torch.randint(256, size, generator=generator, dtype=torch.uint8))
        return Split(images, column, torch.full_like(column, -1))

    nobody = torch.zeros(0, dtype=torch.long)
    parts = [split(column) for column in (nobody, nobody, torch.tensor(pids), nobody)]
    return Target(Flatten(), ReIDDataset("drawn", *parts))
