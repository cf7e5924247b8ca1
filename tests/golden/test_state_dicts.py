"""Names and shapes of public checkpoints: each is recognised, fits, and loses its classifier only.

The lists in `state_dicts` were written from the networks of the public code bases, built from their
own source; a line is a module and its tensors, without counters of training steps.
"""

from pathlib import Path

import pytest
import torch

from auditor.models.architectures.registry import build, closest
from auditor.models.state_dict import fit, is_head

LISTS = Path(__file__).parent / "state_dicts"

# per list: the architecture here, and the (height, width) it was built for
PUBLIC = {
    # KaiyangZhou/deep-person-reid f8cd150
    "torchreid_osnet_ibn_x1_0": ("osnet_ibn_x1_0", (256, 128)),
    "torchreid_osnet_ain_x1_0": ("osnet_ain_x1_0", (256, 128)),
    "torchreid_osnet_ain_x0_25": ("osnet_ain_x0_25", (256, 128)),
    "torchreid_mobilenetv2_x1_0": ("mobilenetv2_x1_0", (256, 128)),
    "torchreid_mobilenetv2_x1_4": ("mobilenetv2_x1_4", (256, 128)),
    "torchreid_mlfn": ("mlfn", (256, 128)),
    "torchreid_hacnn": ("hacnn", (160, 64)),
    "torchreid_resnet50": ("resnet50", (256, 128)),
    "torchreid_resnet50_fc512": ("resnet50_fc512", (256, 128)),
    "torchreid_pcb_p6": ("pcb_resnet50", (384, 128)),
    # layumi/Person_reID_baseline_pytorch 82ff40f
    "layumi_ft_net": ("layumi_resnet50", (256, 128)),
    "layumi_ft_net_dense": ("layumi_densenet121", (256, 128)),
    "layumi_pcb": ("layumi_pcb_resnet50", (384, 192)),
    # michuanhaohao/reid-strong-baseline 3da7e6f
    "bot_resnet50": ("bot_resnet50", (256, 128)),
    "bot_resnet50_ibn_a": ("bot_resnet50_ibn", (256, 128)),
    # mangye16/ReID-Survey 38f5912
    "agw_resnet50_nl": ("bot_agw_resnet50", (256, 128)),
    "agw_resnet50_ibn_a": ("bot_gem_resnet50_ibn", (256, 128)),
    # JDAI-CV/fast-reid c9bc3ce
    "fastreid_bot_R50": ("fastreid_resnet50", (256, 128)),
    "fastreid_agw_R50": ("fastreid_agw_resnet50", (256, 128)),
    "fastreid_sbs_R50_ibn": ("fastreid_sbs_resnet50_ibn", (384, 128)),
    "fastreid_mgn_R50_ibn": ("fastreid_mgn_resnet50_ibn", (384, 128)),
    "fastreid_bot_S50": ("fastreid_resnest50", (256, 128)),
    "fastreid_sbs_S50": ("fastreid_sbs_resnest50", (384, 128)),
    # of its release v0.1.1, from which its ResNeSts were published
    "fastreid_v0_bot_S50": ("reid_resnest50", (256, 128)),
    "fastreid_v0_sbs_S50": ("agw_resnest50", (384, 128)),
    "fastreid_vit": ("vit_reid_base_stride16", (256, 128)),
    # damo-cv/TransReID dec5504, damo-cv/TransReID-SSL fc39e88, CASIA-IVA-Lab/PASS-reID 5b84b42
    "transreid_vit_base": ("transreid_base_sie6", (256, 128)),
    "transreid_ssl_vit_small": ("transreid_ssl_small", (256, 128)),
    "transreid_ssl_vit_base": ("transreid_ssl_base", (256, 128)),
    "transreid_ssl_resnet50_ibn_a": ("bot_resnet50_ibn", (256, 128)),
    "pass_vit_small": ("pass_small", (256, 128)),
    # tinyvision/SOLIDER-REID 8c08e1c
    "solider_swin_tiny": ("solider_tiny", (384, 128)),
    # Syliz517/CLIP-ReID eb1898b
    "clip_reid_vit": ("clip_reid", (256, 128)),
    "clip_reid_rn50": ("clip_reid_resnet50", (256, 128)),
    "clip_reid_vit_sie": ("clip_reid_stride12_sie6", (256, 128)),
    # jixunbo/LightMBN 1f4ec0d, whose MGN has the names of seathiefwang/MGN-pytorch
    "mgn": ("mgn", (384, 128)),
    "lmbn_n": ("light_mbn", (384, 128)),
    # deepinsight/insightface
    "iresnet50": ("iresnet50", (112, 112)),
}


def listed(name):
    """The state dict of a list: shapes without memory for them."""
    state = {}
    for line in (LISTS / f"{name}.txt").read_text().splitlines():
        module, *tensors = line.split(" ")
        for tensor in tensors:
            parameter, _, shape = tensor.partition("=")
            sizes = [] if shape == "scalar" else [int(size) for size in shape.split("x")]
            full = parameter if module == "." else f"{module}.{parameter}"
            state[full] = torch.empty(sizes, device="meta")
    return state


@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_checkpoint_fits(name):
    arch, size = PUBLIC[name]
    state = listed(name)
    with torch.device("meta"):
        met = fit(build(arch, size), state, name)
    assert all(is_head(weight) for weight in met.dropped)
    assert met.unfilled == ()
    assert met.left_out == ()


@pytest.mark.parametrize("name", PUBLIC)
def test_and_is_recognised(name):
    arch, _ = PUBLIC[name]
    assert closest({f"module.{weight}": tensor for weight, tensor in listed(name).items()}) == arch


def test_every_list_is_tested():
    assert {path.stem for path in LISTS.glob("*.txt")} == set(PUBLIC)
