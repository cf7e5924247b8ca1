"""Checkpoints as public code bases write them, made here with their names, shapes and habits."""

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from auditor.errors import ModelError
from auditor.models.architectures.agw import NonLocalResNet
from auditor.models.architectures.backbones import InstanceBatchNorm, feature_map
from auditor.models.architectures.pcb import PCB
from auditor.models.architectures.registry import build, closest
from auditor.models.architectures.strong_baseline import GeM, StrongBaseline
from auditor.models.architectures.transreid import TransReID
from auditor.models.card import Card, card_from
from auditor.models.state_dict import fit
from tests.opening import open_model

SIZE = (64, 32)
SMALL = Card(height=64, width=32)


def weights(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def norm(name, length, seed=0):
    return {
        f"{name}.weight": 1 + 0.1 * weights(length, seed=seed),
        f"{name}.bias": 0.1 * weights(length, seed=seed + 1),
        f"{name}.running_mean": 0.1 * weights(length, seed=seed + 2),
        f"{name}.running_var": 1 + weights(length, seed=seed + 3).abs(),
        f"{name}.num_batches_tracked": torch.tensor(5),
    }


@pytest.fixture(scope="module")
def resnet():
    """torchvision's smallest, its last stride taken away, as every code base writes it out."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.resnet18(num_classes=1).eval()
    network.layer4[0].conv1.stride = network.layer4[0].downsample[0].stride = (1, 1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.add_(0.1 * weights(module.num_features))
    return network


@pytest.fixture
def images():
    return weights(2, 3, *SIZE, seed=9)


def trunk(resnet, prefix):
    state = resnet.state_dict()
    return {f"{prefix}{n}": t for n, t in state.items() if not n.startswith("fc.")}


def last_map(resnet, images, *, relu=True, pool=None):
    """The map, walked through layer by layer."""
    x = resnet.bn1(resnet.conv1(images))
    x = (pool or resnet.maxpool)(F.relu(x) if relu else x)
    for stage in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
        x = stage(x)
    return x


def normed(x, state, name):
    parts = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts)


def ceil_pool(x):
    return F.max_pool2d(x, 3, stride=2, ceil_mode=True)


def loaded(network, state):
    result = fit(network, state, "model.pth")
    return network.eval(), result


@torch.no_grad()
def test_torchreid_resnet(resnet, images):
    state = trunk(resnet, "") | {"fc.0.weight": weights(32, 512), "fc.0.bias": weights(32)}
    state |= norm("fc.1", 32) | {
        "classifier.weight": weights(751, 32),
        "classifier.bias": weights(751),
    }
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    for given in (state, parallel):
        net, result = loaded(StrongBaseline(feature_map("resnet18"), 32, relu=True), given)
        embedded = F.linear(
            last_map(resnet, images).mean((2, 3)), state["fc.0.weight"], state["fc.0.bias"]
        )
        torch.testing.assert_close(net(images), F.relu(normed(embedded, state, "fc.1")))
        assert result.code_base == "torchreid"
        assert result.classifier == "of 751 classes, left out"
        assert result.dropped == ("classifier.weight", "classifier.bias")


@torch.no_grad()
def test_torchreid_pcb(resnet, images):
    state = trunk(resnet, "") | {"conv5.layers.0.weight": weights(256, 512, 1, 1)}
    state |= norm("conv5.layers.1", 256)
    for part in range(6):
        state |= {f"classifier.{part}.weight": weights(751, 256)}
    net, result = loaded(PCB(feature_map("resnet18")), state)
    stripes = F.adaptive_avg_pool2d(last_map(resnet, images), (6, 1))
    torch.testing.assert_close(net(images), F.normalize(stripes, dim=1).flatten(1))
    reduced = F.relu(
        normed(F.conv2d(stripes, state["conv5.layers.0.weight"]), state, "conv5.layers.1")
    )
    torch.testing.assert_close(torch.stack(net.branches(images).identity, 2), reduced[..., 0])
    assert result.classifier == "of 751 classes, left out"


@torch.no_grad()
def test_fastreid(resnet, images):
    neck = "heads.bottleneck.0"
    state = trunk(resnet, "backbone.") | norm(neck, 512) | {"heads.weight": weights(702, 512)}
    net, result = loaded(StrongBaseline(feature_map("resnet18", "ceil pool")), state)
    pooled = last_map(resnet, images, pool=ceil_pool).mean((2, 3))
    torch.testing.assert_close(net(images), normed(pooled, state, neck))
    assert result.code_base == "fast-reid"
    assert result.classifier == "of 702 classes, left out"
    # the same weights behind torchvision's stem would give other features, and no name shows it
    with pytest.raises(
        ModelError, match=r"from fast-reid.*built in another way \(ceil pool, dilated\)"
    ):
        fit(StrongBaseline(feature_map("resnet18")), state, "model.pth")


@torch.no_grad()
def test_fastreid_before_its_first_release(tmp_path, resnet, images):
    state = trunk(resnet, "backbone.") | norm("heads.bnneck", 512) | {
        "heads.classifier.weight": weights(702, 512),
        "pixel_mean": torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1),
        "pixel_std": torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1),
    }  # fmt: skip
    net, result = loaded(StrongBaseline(feature_map("resnet18")), state)
    pooled = last_map(resnet, images).mean((2, 3))
    torch.testing.assert_close(net(images), normed(pooled, state, "heads.bnneck"))
    assert result.code_base == "fast-reid before 1.0"
    path = tmp_path / "model.pth"
    torch.save({"model": state, "iteration": 3}, path)
    assert open_model(path, arch="reid_resnet18", card=SMALL).facts["classifier"]
    # the preset is for whole models, which normalise inside
    fed = card_from("fastreid", {"height": 64, "width": 32})
    with pytest.raises(ModelError, match="use the preprocessing preset torchreid"):
        open_model(path, arch="reid_resnet18", card=fed)


def test_half_of_the_channels_is_normalised_per_image():
    x = weights(3, 6, 4, 5)
    norm = InstanceBatchNorm(6)
    out = norm(x)
    torch.testing.assert_close(out[:, :3].mean((2, 3)), torch.zeros(3, 3), atol=1e-6, rtol=0)
    assert out[:, 3:].mean((2, 3)).abs().max() > 0.05
    torch.testing.assert_close(out[:, 3:].mean((0, 2, 3)), torch.zeros(3), atol=1e-6, rtol=0)
    names = set(feature_map("resnet18", ibn=True).state_dict())
    assert {"layer1.0.bn1.IN.weight", "layer3.1.bn1.BN.running_var", "layer4.0.bn1.bias"} <= names


@torch.no_grad()
def test_fastreid_with_an_embedding_and_gem(resnet, images):
    state = trunk(resnet, "backbone.") | {
        "heads.pool_layer.p": torch.tensor([2.0]),
        "heads.bottleneck.0.weight": weights(32, 512, 1, 1),
        **norm("heads.bottleneck.1", 32),
        "heads.weight": weights(702, 32),
    }
    net, result = loaded(
        StrongBaseline(feature_map("resnet18", "ceil pool"), 32, pool=GeM()), state
    )
    maps = last_map(resnet, images, pool=ceil_pool)
    pooled = maps.clamp(min=1e-6).square().mean((2, 3)).sqrt()
    embedded = pooled @ state["heads.bottleneck.0.weight"][:, :, 0, 0].T
    wanted = normed(embedded, state, "heads.bottleneck.1")
    torch.testing.assert_close(net(images), wanted, rtol=1e-4, atol=1e-4)
    assert result.code_base == "fast-reid with an embedding"
    # a learned exponent is no classifier: it is not dropped in silence
    with pytest.raises(ModelError, match=r"1 unexpected \(pool.p\); names .*fast-reid with"):
        fit(StrongBaseline(feature_map("resnet18", "ceil pool"), 32), state, "model.pth")


@torch.no_grad()
def test_strong_baseline(resnet, images):
    state = trunk(resnet, "base.") | norm("bottleneck", 512)
    state |= {"classifier.weight": weights(751, 512)}
    net, result = loaded(StrongBaseline(feature_map("resnet18", "no relu")), state)
    pooled = last_map(resnet, images, relu=False).mean((2, 3))
    torch.testing.assert_close(net(images), normed(pooled, state, "bottleneck"))
    assert result.code_base == "the strong baseline or AGW"
    with pytest.raises(ModelError, match="built in another way"):
        fit(StrongBaseline(feature_map("resnet18")), state, "model.pth")


def test_agw(resnet):
    state = trunk(resnet, "base.") | norm("bottleneck", 512)
    state |= {"global_pool.p": torch.tensor([2.5]), "classifier.weight": weights(751, 512)}
    for block, channels in (("NL_2.0", 128), ("NL_2.1", 128), ("NL_3.0", 256), ("NL_3.1", 256)):
        for layer in ("theta", "phi", "g"):
            state[f"base.{block}.{layer}.weight"] = weights(1, channels, 1, 1)
            state[f"base.{block}.{layer}.bias"] = weights(1)
        state[f"base.{block}.W.0.weight"] = weights(channels, 1, 1, 1)
        state[f"base.{block}.W.0.bias"] = weights(channels)
        state |= norm(f"base.{block}.W.1", channels)
    backbone = NonLocalResNet(feature_map("resnet18", "no relu"), third=2)
    net, result = loaded(StrongBaseline(backbone, pool=GeM()), state)
    assert result.code_base == "the strong baseline or AGW"
    assert net.pool.p.item() == 2.5
    assert torch.equal(net.backbone.NL_3[1].W[0].weight, state["base.NL_3.1.W.0.weight"])


def transformer(name="vit_tiny_patch16_224"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model(name, pretrained=False, num_classes=0, img_size=SIZE).eval()


@torch.no_grad()
def test_transreid_without_the_jigsaw(images):
    vit = transformer()
    state = {f"base.{n}": t for n, t in vit.state_dict().items()}
    state |= {"base.fc.weight": weights(1000, 192), "base.fc.bias": weights(1000)}
    state |= norm("bottleneck", 192) | {"classifier.weight": weights(751, 192)}
    net, result = loaded(TransReID(SIZE, "vit_tiny_patch16_224", stride=16, jigsaw=False), state)
    torch.testing.assert_close(net(images), vit(images), rtol=1e-4, atol=1e-4)
    after = normed(vit(images), state, "bottleneck")
    torch.testing.assert_close(net.branches(images).identity[0], after, rtol=1e-4, atol=1e-4)
    assert result.code_base == "TransReID"
    assert result.classifier == "of 751 classes, left out"


def jigsaw_state():
    vit = transformer()
    state = {f"base.{n}": t for n, t in vit.state_dict().items()}
    for branch, seed in (("b1", 1), ("b2", 2)):
        draw = torch.Generator().manual_seed(seed)
        for name, tensor in vit.blocks[-1].state_dict().items():
            state[f"{branch}.0.{name}"] = 0.05 * torch.randn(tensor.shape, generator=draw)
        state[f"{branch}.1.weight"], state[f"{branch}.1.bias"] = weights(192), weights(192)
    for ending in ("", "_1", "_2", "_3", "_4"):
        state |= norm(f"bottleneck{ending}", 192)
        state[f"classifier{ending}.weight"] = weights(751, 192)
    return vit, state | {"base.sie_embed": weights(6, 1, 192)}


@torch.no_grad()
def test_transreid_with_the_jigsaw(images):
    vit, state = jigsaw_state()
    options = {"stride": 16, "sides": 6}
    net, result = loaded(TransReID(SIZE, "vit_tiny_patch16_224", **options), state)
    assert result.code_base == "TransReID with the jigsaw"
    assert result.classifier == "of 751 classes, left out"
    tokens = vit.patch_embed(images)
    tokens = torch.cat([vit.cls_token.expand(2, -1, -1), tokens], 1) + vit.pos_embed
    tokens = tokens + 3 * state["base.sie_embed"][[0, 5]]
    for block in vit.blocks[:-1]:
        tokens = block(tokens)
    last = transformer()
    last.blocks[-1].load_state_dict({n: state[f"b1.0.{n}"] for n in last.blocks[-1].state_dict()})
    whole = F.layer_norm(last.blocks[-1](tokens), (192,), state["b1.1.weight"],
                         state["b1.1.bias"], 1e-6)[:, 0]  # fmt: skip
    features = net(images, torch.tensor([0, 5]))
    torch.testing.assert_close(features[:, :192], whole, rtol=1e-4, atol=1e-4)
    assert torch.equal(net.parts[0].mlp.fc1.weight, state["b2.0.mlp.fc1.weight"])
    with pytest.raises(ModelError, match=r"1 unexpected \(side_embed\)"):
        fit(TransReID(SIZE, "vit_tiny_patch16_224", stride=16), state, "model.pth")
    with pytest.raises(ModelError, match=r"of another shape \(pos_embed \(1, 9, 192\)"):
        fit(TransReID((96, 32), "vit_tiny_patch16_224", **options), state, "model.pth")


def test_a_classifier_of_any_number_of_classes_is_left_out_and_said(tmp_path, resnet):
    state = trunk(resnet, "backbone.") | norm("neck", 512)
    state |= {"classifier.weight": weights(1041, 512)}
    path = tmp_path / "model.pth"
    torch.save({"state_dict": state, "epoch": 3}, path)
    model = open_model(path, arch="reid_resnet18", card=SMALL)
    assert model.facts["classifier"] == "of 1041 classes, left out"
    assert model.facts["dropped"] == ("classifier.weight",)
    assert model.extractor.feature_dim == 512
    del state["classifier.weight"]
    torch.save(state, path)
    assert open_model(path, arch="reid_resnet18", card=SMALL).facts["classifier"] == ""


def test_the_wrong_architecture_is_told_with_the_right_one(tmp_path, resnet):
    path = tmp_path / "model.pth"
    torch.save({"model": trunk(resnet, "backbone.") | norm("neck", 512)}, path)
    with pytest.raises(ModelError) as error:
        open_model(path, arch="pcb_resnet18", card=SMALL)
    text = str(error.value)
    assert "5 missing (reduce.conv.weight, reduce.bn.weight, reduce.bn.bias, …)" in text
    assert "4 unexpected (neck.weight, neck.bias, neck.running_mean, …)" in text
    assert text.endswith("--arch reid_resnet18 fits")


def fake(arch, renaming):
    """The names of another code base around weights that have shapes and nothing else."""
    with torch.device("meta"):
        state = build(arch, (256, 128)).state_dict()
    return {renaming(name): tensor for name, tensor in state.items()}


def transreid_name(name):
    name = name.replace("necks.0", "bottleneck").replace("necks.", "bottleneck_")
    name = name.replace("whole", "b1").replace("parts", "b2").replace("side_embed", "sie_embed")
    mine = name.startswith(("b1", "b2", "bottleneck"))
    return name if mine else f"base.{name}"


@pytest.mark.parametrize(
    ("arch", "renaming"),
    [
        ("resnet50", str),
        ("resnet50_fc512", lambda n: n.removeprefix("backbone.").replace("embed.", "fc.0.")
            .replace("neck.", "fc.1.")),
        ("densenet121_fc512", lambda n: n.removeprefix("backbone.").replace("embed.", "fc.0.")
            .replace("neck.", "fc.1.")),
        ("reid_resnet50_128", str),
        ("fastreid_resnet50", lambda n: n.replace("neck.", "heads.bottleneck.0.")),
        ("fastreid_sbs_resnet50", lambda n: n.replace("neck.", "heads.bottleneck.0.")
            .replace("pool.p", "heads.pool_layer.p")),
        ("fastreid_sbs_resnet101_ibn", lambda n: n.replace("neck.", "heads.bottleneck.0.")
            .replace("pool.p", "heads.pool_layer.p")),
        ("bot_resnet50", lambda n: n.replace("backbone.", "base.").replace("neck.", "bottleneck.")),
        ("bot_agw_resnet50", lambda n: n.replace("backbone.", "module.base.")
            .replace("neck.", "module.bottleneck.").replace("pool.p", "module.global_pool.p")),
        ("pcb_resnet50", lambda n: n.removeprefix("backbone.")
            .replace("reduce.conv", "conv5.layers.0").replace("reduce.bn", "conv5.layers.1")),
        ("transreid_base", transreid_name),
        ("transreid_base_stride16", transreid_name),
        ("transreid_small_sie6", transreid_name),
        ("isp_resnet50", str),
        ("attention_resnet50", str),
        ("reid_mobilenet_v1_512", str),
    ],
)  # fmt: skip
def test_the_architecture_is_recognised_by_any_names(arch, renaming):
    assert closest(fake(arch, renaming)) == arch


def test_strangers_are_not_recognised():
    assert closest(dict(nn.Linear(3, 3).state_dict())) is None
    assert closest(torchvision.models.resnext50_32x4d(weights=None).state_dict()) is None
