"""The re-ID architectures the auditor knows by name, each with the maker of its network."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from auditor.models.architectures.agw import NonLocalResNet
from auditor.models.architectures.backbones import LAYUMI, Stem, feature_map
from auditor.models.architectures.clip_reid import ClipReID, ClipReIDResNet
from auditor.models.architectures.dual_attention import DualAttention
from auditor.models.architectures.hacnn import HACNN
from auditor.models.architectures.iresnet import DEPTHS as FACE_DEPTHS
from auditor.models.architectures.iresnet import IResNet
from auditor.models.architectures.isp import ISP
from auditor.models.architectures.light_mbn import LightMBN
from auditor.models.architectures.mgn import MGN
from auditor.models.architectures.mlfn import MLFN
from auditor.models.architectures.mobilenetv2 import MobileNetV2
from auditor.models.architectures.osnet import WIDTHS, OSNet
from auditor.models.architectures.osnet_ain import OSNetAIN
from auditor.models.architectures.pcb import PCB
from auditor.models.architectures.solider import SIZES as SOLIDER_SIZES
from auditor.models.architectures.solider import Swin
from auditor.models.architectures.strong_baseline import GeM, StrongBaseline
from auditor.models.architectures.transreid import PASS, TransReID

Maker = Callable[[tuple[int, int]], nn.Module]
"""From the (height, width) of the images to a network with fresh weights."""

DIMS = {"": None, "_128": 128, "_512": 512}
"""Endings of a name, and the length of the linear embedding they stand for."""


def _osnet(width: str) -> Maker:
    return lambda size: OSNet(width)


def _osnet_ain(width: str) -> Maker:
    return lambda size: OSNetAIN(width)


def _reference(size: tuple[int, int]) -> nn.Module:
    # its module reads files, which nobody else's does
    from auditor.models.reference import ReferenceNet

    return ReferenceNet()


def _strong(
    backbone: str, dim: int | None = None, stem: Stem = "torchvision", *, ibn: bool = False
) -> Maker:
    return lambda size: StrongBaseline(feature_map(backbone, stem, ibn=ibn), dim)


def _torchreid_fc512(backbone: str) -> Maker:
    return lambda size: StrongBaseline(feature_map(backbone), 512, relu=True)


def _layumi(backbone: str, stem: Stem = "torchvision", last_stride: int = 2) -> Maker:
    def make(size: tuple[int, int]) -> nn.Module:
        trunk = feature_map(backbone, stem, last_stride=last_stride)
        return StrongBaseline(trunk, 512, bias=True, made_for=LAYUMI)

    return make


THIRD = {"resnet18": 2, "resnet50": 3, "resnet101": 9, "resnest50": 3}
"""Non-local blocks in the third stage, as public code bases have them; ResNet-18 has room for 2."""


def _agw(
    backbone: str, stem: Stem = "torchvision", *, ibn: bool = False, learned: bool = True
) -> Maker:
    def make(size: tuple[int, int]) -> nn.Module:
        trunk = feature_map(backbone, stem, ibn=ibn)
        non_local = NonLocalResNet(trunk, third=THIRD[backbone])
        return StrongBaseline(non_local, pool=GeM(learned=learned))

    return make


def _attentive(backbone: str) -> Maker:
    return lambda size: StrongBaseline(DualAttention(feature_map(backbone)))


def _pcb(backbone: str, **options: Any) -> Maker:
    return lambda size: PCB(feature_map(backbone), **options)


def _isp(backbone: str) -> Maker:
    return lambda size: ISP(feature_map(backbone))


def _vit(vit: str, **options: Any) -> Maker:
    return partial(TransReID, vit=f"vit_{vit}_patch16_224", **options)


def _pass(vit: str) -> Maker:
    return partial(PASS, vit=f"vit_{vit}_patch16_224")


def _solider(size_of_net: str) -> Maker:
    return lambda size: StrongBaseline(Swin(size_of_net), after_neck=False)


def _iresnet(depth: str) -> Maker:
    return partial(IResNet, depth=depth)


CATALOGUE: Mapping[str, Callable[..., nn.Module]] = {
    **{width: _osnet(width) for width in WIDTHS},
    "osnet_ibn_x1_0": lambda size: OSNet("osnet_x1_0", ibn=True),
    **{width.replace("osnet_", "osnet_ain_"): _osnet_ain(width) for width in WIDTHS},
    "mobilenetv2_x1_0": lambda size: MobileNetV2(1.0),
    "mobilenetv2_x1_4": lambda size: MobileNetV2(1.4),
    "mlfn": lambda size: MLFN(),
    "hacnn": lambda size: HACNN(),
    "reference": _reference,
    **{
        f"reid_{name}{ending}": _strong(backbone, dim)
        for name, backbone in {
            "resnet18": "resnet18",
            "resnet50": "resnet50",
            "resnet101": "resnet101",
            "mobilenet_v1": "mobilenetv1_100",
            "mobilenet_v2": "mobilenet_v2",
            "densenet121": "densenet121",
        }.items()
        for ending, dim in DIMS.items()
    },
    "resnet50_fc512": _torchreid_fc512("resnet50"),
    "densenet121_fc512": _torchreid_fc512("densenet121"),
    "bot_resnet50": _strong("resnet50", stem="no relu"),
    "bot_resnet50_ibn": _strong("resnet50", ibn=True),
    "bot_resnet101_ibn": _strong("resnet101", ibn=True),
    "transreid_ssl_resnet50": _strong("resnet50", stem="with relu"),
    "layumi_resnet50": _layumi("resnet50"),
    "layumi_resnet50_stride1": _layumi("resnet50", last_stride=1),
    "layumi_densenet121": _layumi("densenet121", "no relu"),
    "layumi_pcb_resnet50": _pcb("resnet50", shared=False, made_for=LAYUMI),
    **{
        f"fastreid_{depth}{ending}": _strong(depth, stem="ceil pool", ibn=bool(ending))
        for depth in ("resnet50", "resnet101")
        for ending in ("", "_ibn")
    },
    **{
        f"fastreid_{name}_{depth}{ending}": _agw(
            depth, "ceil pool", ibn=bool(ending), learned=name == "sbs"
        )
        for name in ("agw", "sbs")
        for depth in ("resnet50", "resnet101")
        for ending in ("", "_ibn")
    },
    "fastreid_resnest50": _strong("resnest50", stem="dilated"),
    "fastreid_sbs_resnest50": lambda size: StrongBaseline(
        feature_map("resnest50", "dilated"), pool=GeM()
    ),
    "reid_resnest50": _strong("resnest50", stem="undilated"),
    "agw_resnest50": _agw("resnest50", "undilated"),
    "agw_resnet18": _agw("resnet18"),
    "agw_resnet50": _agw("resnet50"),
    "bot_agw_resnet50": _agw("resnet50", "no relu"),
    "bot_gem_resnet50_ibn": lambda size: StrongBaseline(
        feature_map("resnet50", ibn=True), pool=GeM()
    ),
    "attention_resnet18": _attentive("resnet18"),
    "attention_resnet50": _attentive("resnet50"),
    "pcb_resnet18": _pcb("resnet18"),
    "pcb_resnet50": _pcb("resnet50"),
    "pcb_resnet50_reduced": _pcb("resnet50", descriptor="reduced"),
    "isp_resnet18": _isp("resnet18"),
    "isp_resnet50": _isp("resnet50"),
    "transreid_tiny": _vit("tiny"),
    "transreid_small": _vit("small"),
    "transreid_base": _vit("base"),
    "transreid_base_stride16": _vit("base", stride=16),
    "transreid_small_stride16": _vit("small", stride=16),
    "transreid_ssl_base": _vit("base", jigsaw=False, stem=True),
    "transreid_ssl_small": _vit("small", jigsaw=False, stem=True),
    "pass_base": _pass("base"),
    "pass_small": _pass("small"),
    "clip_reid": ClipReID,
    "clip_reid_stride12": partial(ClipReID, stride=12),
    "clip_reid_resnet50": ClipReIDResNet,
    **{f"solider_{size}": _solider(size) for size in SOLIDER_SIZES},
    "mgn": lambda size: MGN(),
    "fastreid_mgn_resnet50_ibn": lambda size: MGN(fastreid=True),
    "light_mbn": lambda size: LightMBN(),
    **{depth: _iresnet(depth) for depth in FACE_DEPTHS},
    "vit_reid_base": _vit("base", jigsaw=False),
    "vit_reid_small": _vit("small", jigsaw=False),
    "vit_reid_base_stride16": _vit("base", stride=16, jigsaw=False),
    "vit_reid_small_stride16": _vit("small", stride=16, jigsaw=False),
}
"""Beginnings say how the network is trained and read out:

- reid_: the strong baseline on a library's backbone; bot_ and fastreid_: the same with the stem
  that the weights of those code bases expect (`Stem`), with ``agw_`` also for fast-reid's SBS.
  ResNeSt has no non-local blocks there since 1.0; before, it was ``agw_`` and ``reid_``.
- osnet_, mobilenetv2_, mlfn, hacnn, resnet50_fc512, densenet121_fc512: torchreid's; its plain ones
  are torchvision's own names.
- layumi_: Person_reID_baseline_pytorch's, whose ``--stride 1`` leaves no trace in the names.
- bot_..._ibn: also AGW's and TransReID-SSL's ResNets with IBN; with ``gem_``, learned pooling.
- mgn, light_mbn, clip_reid, pass_, solider_, transreid_ssl_: as their papers; iresnet: faces.
- transreid_: with the jigsaw; vit_reid_: without. A transformer's name may end with ``_sie`` and a
  number: so many cameras or viewpoints have an embedding.
"""

SIDES = re.compile(r"((?!\w*resnet)(?:transreid|vit_reid|clip_reid)\w*)_sie(\d+)")


def maker(arch: str) -> Maker | None:
    """Return the maker of a network, or None for a name that is not in the catalogue."""
    found = SIDES.fullmatch(arch)
    if found and found[1] in CATALOGUE and int(found[2]) > 0:
        return partial(CATALOGUE[found[1]], sides=int(found[2]))
    return CATALOGUE.get(arch)
