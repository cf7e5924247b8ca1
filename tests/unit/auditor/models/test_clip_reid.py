"""CLIP-ReID's ResNet-50 against a plain forward pass over weights under their public names."""

import pytest
import torch
from torch.nn import functional as F

from auditor.errors import ModelError
from auditor.models.architectures.clip_reid import AttentionPool
from auditor.models.architectures.registry import build
from auditor.models.state_dict import fit
from tests.golden.test_state_dicts import listed

BLOCKS = (3, 4, 6, 3)


def reference(state, x):
    """What CLIP-ReID gives at test time: the averaged map, then what attention pools."""
    state = {name.removeprefix("image_encoder."): tensor for name, tensor in state.items()}

    def conv(name, x, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, None, stride, padding=weight.shape[-1] // 2)

    def norm(name, x):
        found = (state[f"{name}.{s}"] for s in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *found)

    def block(name, x, stage, index):
        halved = 2 if index == 0 and stage in (2, 3) else 1
        out = F.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", x)))
        out = F.relu(norm(f"{name}.bn2", conv(f"{name}.conv2", out)))
        out = norm(f"{name}.bn3", conv(f"{name}.conv3", F.avg_pool2d(out, halved)))
        if index == 0:
            x = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", F.avg_pool2d(x, halved)))
        return F.relu(out + x)

    for i, stride in ((1, 2), (2, 1), (3, 1)):
        x = F.relu(norm(f"bn{i}", conv(f"conv{i}", x, stride)))
    x = F.avg_pool2d(x, 2)
    for stage, blocks in enumerate(BLOCKS, 1):
        for index in range(blocks):
            x = block(f"layer{stage}.{index}", x, stage, index)
    pixels = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([pixels.mean(0, keepdim=True), pixels])
    tokens = tokens + state["attnpool.positional_embedding"][:, None]
    one = {name: state[f"attnpool.{name}_proj.weight"] for name in "qkv"}
    pooled, _ = F.multi_head_attention_forward(
        tokens,
        tokens,
        tokens,
        2048,
        32,
        None,
        torch.cat([state[f"attnpool.{name}_proj.bias"] for name in "qkv"]),
        None,
        None,
        add_zero_attn=False,
        dropout_p=0,
        out_proj_weight=state["attnpool.c_proj.weight"],
        out_proj_bias=state["attnpool.c_proj.bias"],
        training=False,
        need_weights=False,
        use_separate_proj_weight=True,
        q_proj_weight=one["q"],
        k_proj_weight=one["k"],
        v_proj_weight=one["v"],
    )
    return torch.cat([x.mean((2, 3)), pooled[0]], dim=1)


def published(name, shape, generator):
    """A weight as a trained network might have it."""
    if name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
        return torch.empty(shape).uniform_(0.5, 1.5, generator=generator)
    spread = 0.1 if len(shape) < 2 else shape[1:].numel() ** -0.5
    return torch.empty(shape).normal_(std=spread, generator=generator)


@torch.no_grad()
def test_features_are_the_average_and_what_attention_pools():
    generator = torch.Generator().manual_seed(0)
    state = {
        name: published(name, tensor.shape, generator)
        for name, tensor in listed("clip_reid_rn50").items()
        if not name.startswith(("text_encoder", "prompt_learner"))
    }
    net = build("clip_reid_resnet50", (256, 128)).eval()
    assert fit(net, state, "model.pth").code_base == "CLIP-ReID's ResNet"
    images = torch.randn(2, 3, 256, 128, generator=generator)
    found, wanted = net(images), reference(state, images)
    assert found.shape == (2, net.feature_dim) == (2, 2048 + 1024)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_another_size_has_another_position_embedding():
    with (
        torch.device("meta"),
        pytest.raises(ModelError, match=r"pool.pos_embed \(129, 2048\) instead of \(193, 2048\)"),
    ):
        fit(build("clip_reid_resnet50", (384, 128)), listed("clip_reid_rn50"), "model.pth")


def test_attention_is_differentiable_twice():
    pool = AttentionPool(8, 6, 4, head_dim=4)
    x = torch.randn(2, 8, 3, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert pool(x).shape == (2, 4)
    (shared,) = torch.autograd.grad(pool(x).square().sum(), pool.q.weight, create_graph=True)
    (back,) = torch.autograd.grad(shared.square().sum(), x)
    assert back.abs().sum() > 0


def test_a_resnet_has_no_sides():
    with torch.device("meta"), pytest.raises(ModelError, match="no architecture"):
        build("clip_reid_resnet50_sie6", (256, 128))
