import re

import pytest
import torch

from auditor.errors import ModelError
from auditor.models.architectures.branches import branches
from auditor.models.architectures.catalogue import CATALOGUE
from auditor.models.architectures.registry import build, closest
from auditor.models.state_dict import fit
from tests.real import real_weights

__all__ = ["real_weights"]

# one of each kind that is small enough to run
SMALL = ["osnet_x0_25", "reid_resnet18_128", "agw_resnet18", "attention_resnet18", "pcb_resnet18",
         "isp_resnet18", "transreid_tiny_sie2", "osnet_x0_25+groupnorm"]  # fmt: skip


# endings and stems differ in what `test_sizes`, `test_backbones` and `test_names` look at
KINDS = [
    arch
    for arch in CATALOGUE
    if not arch.endswith(("_128", "_512")) and not arch.startswith(("fastreid_", "bot_"))
]


@pytest.mark.parametrize("arch", KINDS)
def test_every_network_says_how_long_its_features_are(arch):
    with torch.device("meta"):
        net = build(arch, (64, 32)).eval()
        images = torch.zeros(2, 3, 64, 32)
        assert net(images).shape == (2, net.feature_dim)
        views = branches(net, images)
    assert views.identity
    for view in (*views.metric, *views.identity):
        assert view.shape[0] == 2
        assert view.ndim == 2


@pytest.mark.parametrize("arch", SMALL)
def test_small_networks_run_alike_and_let_gradients_through(arch):
    one, two = build(arch, (64, 32)).eval(), build(arch, (64, 32)).eval()
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    images.requires_grad_()
    features = one(images)
    assert features.isfinite().all()
    assert torch.equal(features, two(images))
    assert not torch.equal(features[0], features[1])
    features.square().sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("arch", ["transreid_tiny", "timm:vit_tiny_patch16_224"])
def test_transformers_are_differentiable_twice(arch):
    net = build(arch, (32, 32)).eval()
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images.requires_grad_()
    weight = net.blocks[0].attn.qkv.weight
    (shared,) = torch.autograd.grad(net(images).square().sum(), weight, create_graph=True)
    (back,) = torch.autograd.grad(shared.square().sum(), images)
    assert back.abs().sum() > 0


@pytest.mark.parametrize(
    ("arch", "parameters"),
    # torchvision's counts without classifier, and a neck of two numbers per channel
    [
        ("reid_resnet50", 25_557_032 - 2_049_000 + 2 * 2048),
        ("reid_resnet50_512", 25_557_032 - 2_049_000 + 2048 * 512 + 2 * 512),
        ("reid_resnet101", 44_549_160 - 2_049_000 + 2 * 2048),
        ("reid_densenet121", 7_978_856 - 1_025_000 + 2 * 1024),
        ("reid_mobilenet_v2", 3_504_872 - 1_281_000 + 2 * 1280),
    ],
)
def test_sizes(arch, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in build(arch, (256, 128)).parameters()) == parameters


@torch.no_grad()
def test_what_follows_a_plus_changes_the_network():
    after, before = (
        build(f"reid_resnet18{change}", (64, 32)).eval() for change in ("", "+before_neck")
    )
    after.neck.running_mean.fill_(1.0)
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    expected = (before(images) - 1) / (1 + after.neck.eps) ** 0.5
    torch.testing.assert_close(after(images), expected)
    learned, fixed = (build(f"reid_resnet18+{gem}", (64, 32)).eval() for gem in ("gem", "gem3"))
    torch.testing.assert_close(learned(images), fixed(images))
    assert "pool.p" in learned.state_dict()
    assert "pool.p" not in fixed.state_dict()
    with torch.device("meta"):
        assert build("vit_reid_small_stride16+after_neck", (64, 32)).after_neck
        for arch, said in (
            ("osnet_x0_25+before_neck", "no neck"),
            ("osnet_x0_25+gem", "no pooling"),
            ("osnet_x0_25+gmp", r"after \+ there may be groupnorm, before_neck"),
        ):
            with pytest.raises(ModelError, match=said):
                build(arch, (64, 32))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("reid_resnet5O", "reid_resnet50"),
        ("transreid_bas", "transreid_base"),
        ("pcb-resnet50", "pcb_resnet50"),
    ],
)
def test_mistyped_names(typed, meant):
    with pytest.raises(ModelError, match=rf"did you mean '{re.escape(meant)}"):
        build(typed, (64, 32))


def test_side_information_is_asked_for_by_name():
    with torch.device("meta"):
        net = build("transreid_small_stride16_sie6", (64, 32))
    assert net.side_embed.shape == (6, 1, 384)
    for name in ("transreid_small_sie0", "reid_resnet50_sie6"):
        with pytest.raises(ModelError, match="no architecture"):
            build(name, (64, 32))


def test_published_weights_are_recognised_and_load(real_weights):
    state = torch.load(real_weights / "osnet_x0_25_msmt17.pth", weights_only=True)
    assert closest(state) == "osnet_x0_25"
    result = fit(build("osnet_x0_25", (256, 128)), state, "osnet")
    assert (result.code_base, result.dropped, result.unfilled) == ("", (), ())
