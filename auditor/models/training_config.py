"""Reads what fast-reid's, TransReID's and their relatives' training configurations say of a model.

Size, pooling, where features are read, mean and deviation stand there and not in the weights; taken
by hand, one of them is forgotten. A setting that no network here answers to is refused by name.
"""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auditor.artifacts import plain_yaml
from auditor.console import printable
from auditor.errors import UsageError
from auditor.models.card import IMAGENET_MEAN, IMAGENET_STD, Card, card_from
from auditor.models.described import Description

BASE = "_BASE_"
"""Under which fast-reid names the file that a configuration builds on."""
DEEPEST = 8

POOLINGS = {
    "GlobalAvgPool": "",
    "FastGlobalAvgPool": "",
    "GeneralizedMeanPooling": "+gem3",
    "GeneralizedMeanPoolingP": "+gem",
}
FASTREID_DEPTHS = {
    "build_resnet_backbone": {"50x": "resnet50", "101x": "resnet101"},
    "build_resnest_backbone": {"50x": "resnest50"},
}
VITS = {
    "vit_base_patch16_224_TransReID": "base",
    "deit_base_patch16_224_TransReID": "base",
    "deit_small_patch16_224_TransReID": "small",
    "vit_small_patch16_224_TransReID": "small",
}


def read_training_config(path: Path) -> Description:
    """Return what a training configuration says about the network it trained.

    Raises:
        UsageError: if it cannot be read, is of no known code base, or asks for what is not here.
    """
    config = _Config(path, _with_bases(path, DEEPEST))
    if config.get("MODEL", "META_ARCHITECTURE") is not None:
        return _fastreid(config)
    if config.get("MODEL") is not None:
        return _transreid(config)
    raise UsageError(
        f"{path} is not a configuration of fast-reid, TransReID or their relatives: "
        "it has no block MODEL"
    )


class _Config:
    """A configuration's values by their path, and what to say of those that do not fit."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self.path, self.content = path, content

    def get(self, *keys: str, default: Any = None) -> Any:
        value: Any = self.content
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return default if value is None else _plain(value)

    def unknown(self, *keys: str) -> UsageError:
        value = printable(str(self.get(*keys)), 60)
        return UsageError(
            f"{self.path}: no network here answers to {'.'.join(keys)}: {value}; give --arch"
        )

    def sizes(self, *keys: str, default: list[int]) -> tuple[int, int]:
        found = self.get(*keys, default=default)
        if isinstance(found, list | tuple) and len(found) == 2:
            return found[0], found[1]
        raise self.unknown(*keys)


def _plain(value: Any) -> Any:
    """Return a value; yacs writes tuples, and strings within brackets, as YAML text."""
    if isinstance(value, str) and value.startswith("("):
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
    return value


def _with_bases(path: Path, depth: int) -> dict[str, Any]:
    content = plain_yaml.read(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path} contains a {type(content).__name__}, no configuration")
    base = content.pop(BASE, None)
    if base is None:
        return content
    if not isinstance(base, str) or not base.endswith((".yml", ".yaml")) or depth == 0:
        raise UsageError(f"{path}: {BASE} leads to no further configuration")
    return _overlay(_with_bases(path.parent / base, depth - 1), content)


def _overlay(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        deeper = isinstance(old, dict) and isinstance(value, Mapping)
        merged[key] = _overlay(dict(old or {}), value) if deeper else value
    return merged


def _fastreid(config: _Config) -> Description:
    size = config.sizes("INPUT", "SIZE_TEST", default=[256, 128])
    mean = config.get("MODEL", "PIXEL_MEAN", default=[255 * value for value in IMAGENET_MEAN])
    std = config.get("MODEL", "PIXEL_STD", default=[255 * value for value in IMAGENET_STD])
    card = _card(size, {"value_range": "0..255", "mean": mean, "std": std})
    return _describe(config, _fastreid_arch(config), card)


def _fastreid_arch(config: _Config) -> str:
    head = ("MODEL", "HEADS")
    after = config.get(*head, "NECK_FEAT", default="before") == "after"
    trunk = ("MODEL", "BACKBONE")
    ibn = "_ibn" if config.get(*trunk, "WITH_IBN") else ""
    pooling = config.get(*head, "POOL_LAYER", default="GlobalAvgPool")
    if config.get("MODEL", "META_ARCHITECTURE") == "MGN":
        if (ibn, after, pooling) != ("_ibn", True, "GeneralizedMeanPoolingP"):
            raise config.unknown("MODEL", "META_ARCHITECTURE")
        return "fastreid_mgn_resnet50_ibn"
    if config.get("MODEL", "META_ARCHITECTURE") != "Baseline":
        raise config.unknown("MODEL", "META_ARCHITECTURE")
    if config.get(*head, "EMBEDDING_DIM", default=0) != 0:
        raise config.unknown(*head, "EMBEDDING_DIM")
    name = config.get(*trunk, "NAME", default="build_resnet_backbone")
    if name == "build_vit_backbone":
        return _vit(config, "base", (*trunk, "STRIDE_SIZE")) + ("+after_neck" if after else "")
    depths = FASTREID_DEPTHS.get(name)
    if depths is None or config.get(*trunk, "WITH_SE"):
        raise config.unknown(*trunk, "NAME")
    depth = depths.get(str(config.get(*trunk, "DEPTH", default="50x")))
    if depth is None:
        raise config.unknown(*trunk, "DEPTH")
    if pooling not in POOLINGS:
        raise config.unknown(*head, "POOL_LAYER")
    neck = "" if after else "+before_neck"
    if depth == "resnest50":  # to which neither IBN nor non-local blocks are added, whatever is set
        return f"fastreid_{depth}{POOLINGS[pooling]}{neck}"
    if config.get(*trunk, "WITH_NL"):
        kind = {"+gem": "sbs", "+gem3": "agw"}.get(POOLINGS[pooling])
        if kind is None:
            raise config.unknown(*head, "POOL_LAYER")
        return f"fastreid_{kind}_{depth}{ibn}{neck}"
    return f"fastreid_{depth}{ibn}{POOLINGS[pooling]}{neck}"


def _transreid(config: _Config) -> Description:
    """TransReID and its relatives: TransReID-SSL, PASS, SOLIDER, CLIP-ReID, BoT and AGW."""
    usual = config.get("INPUT", "IMG_SIZE", default=[384, 128])  # as AGW calls it
    size = config.sizes("INPUT", "SIZE_TEST", default=usual)
    mean = config.get("INPUT", "PIXEL_MEAN", default=list(IMAGENET_MEAN))
    std = config.get("INPUT", "PIXEL_STD", default=list(IMAGENET_STD))
    return _describe(config, _transreid_arch(config), _card(size, {"mean": mean, "std": std}))


def _transreid_arch(config: _Config) -> str:
    name = str(config.get("MODEL", "NAME", default="resnet50"))
    after = config.get("TEST", "NECK_FEAT", default="after") == "after"
    if name.startswith("resnet"):
        return _bot(config, name) + ("" if after else "+before_neck")
    if name == "transformer":
        arch = _transformer(config)
    elif name == "ViT-B-16":
        stride = _stride(config, ("MODEL", "STRIDE_SIZE"), {12: "_stride12", 16: ""})
        arch = f"clip_reid{stride}"
    elif name == "RN50":
        arch = "clip_reid_resnet50"
    else:
        raise config.unknown("MODEL", "NAME")
    sides = config.get("MODEL", "SIE_CAMERA") or config.get("MODEL", "SIE_VIEW")
    if arch.startswith(("solider", "clip_reid_resnet")):  # take no sides, whatever is set
        sides = False
    if sides and arch.startswith("pass"):
        raise config.unknown("MODEL", "SIE_CAMERA")
    return arch + ("_sie" if sides else "") + ("+after_neck" if after else "")


def _bot(config: _Config, name: str) -> str:
    gem = config.get("MODEL", "GENERALIZED_MEAN_POOL") in ("on", True)
    relu = config.get("MODEL", "PRETRAIN_HW_RATIO") is not None  # TransReID-SSL and SOLIDER
    known = {
        ("resnet50", False): "transreid_ssl_resnet50" if relu else "bot_resnet50",
        ("resnet50", True): "bot_resnet50+gem",
        ("resnet50_nl", True): "bot_agw_resnet50",
        ("resnet50_ibn_a", False): "bot_resnet50_ibn",
        ("resnet50_ibn_a", True): "bot_gem_resnet50_ibn",
        ("resnet101_ibn_a", False): "bot_resnet101_ibn",
    }
    if (name, gem) not in known or config.get("MODEL", "LAST_STRIDE", default=1) != 1:
        raise config.unknown("MODEL", "NAME")
    return known[name, gem]


def _transformer(config: _Config) -> str:
    kind = str(config.get("MODEL", "TRANSFORMER_TYPE"))
    swin = re.fullmatch(r"swin_(tiny|small|base)_patch4_window7_224", kind)
    if swin:
        return f"solider_{swin[1]}"
    if kind not in VITS:
        raise config.unknown("MODEL", "TRANSFORMER_TYPE")
    if config.get("MODEL", "FEAT_FUSION") is not None:
        return f"pass_{VITS[kind]}"
    # TransReID's own vit_small is another network than everybody else's
    relative = config.get("MODEL", "PRETRAIN_HW_RATIO") is not None
    if kind.startswith("vit_small") and not relative:
        raise config.unknown("MODEL", "TRANSFORMER_TYPE")
    if config.get("MODEL", "GEM_POOLING"):
        raise config.unknown("MODEL", "GEM_POOLING")
    if config.get("MODEL", "STEM_CONV"):
        return f"transreid_ssl_{VITS[kind]}"
    return _vit(config, VITS[kind], ("MODEL", "STRIDE_SIZE"))


def _vit(config: _Config, size: str, stride: tuple[str, ...]) -> str:
    jigsaw = config.get("MODEL", "JPM", default=False)
    ending = _stride(config, stride, {12: "", 16: "_stride16"})
    return f"{'transreid' if jigsaw else 'vit_reid'}_{size}{ending}"


def _stride(config: _Config, keys: tuple[str, ...], known: Mapping[int, str]) -> str:
    first, second = config.sizes(*keys, default=[16, 16])
    if first != second or first not in known:
        raise config.unknown(*keys)
    return known[first]


def _card(size: tuple[int, int], overrides: Mapping[str, Any]) -> Card:
    return card_from("torchreid", {"height": size[0], "width": size[1], **overrides})


def _describe(config: _Config, arch: str, card: Card) -> Description:
    return Description(arch=arch, card=card, facts={"training_config": config.path.name})
