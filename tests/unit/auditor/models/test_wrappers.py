"""Where a network's weights lie in what training scripts save, and which network is meant."""

import pytest
import torch

from auditor.errors import ModelError
from auditor.models.architectures.registry import closest
from auditor.models.card import Card
from auditor.models.wrappers import flatten
from tests.opening import open_model
from tests.unit.auditor.models.test_loaders import TINY, Tiny

SMALL = Card(height=16, width=8)


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {n: t for n, t in Tiny().state_dict().items() if "num_batches" not in n}


def named(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
LIGHTNING = {
    "epoch": 3,
    "pytorch-lightning_version": "2.6.6",
    "state_dict": {
        **named("model.model.", network()),
        "criterion.weight": torch.ones(9, 5),
        "train_loss.centers": torch.ones(9, 5),
    },
    "optimizer_states": [OPTIMIZER],
    "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
}


def opened(tmp_path, content, **options):
    path = tmp_path / "model.ckpt"
    torch.save(content, path)
    return open_model(path, arch=TINY, card=SMALL, **options)


def holds(model, state):
    mine = model.extractor.network.state_dict()
    return all(torch.equal(mine[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"net": {"module": network()}}},
        {"net": {"state_dict": named("model.", network())}},
        {"state_dict": named("module.model.backbone.", network())},
        named("_orig_mod.module.", network()),
        {"teacher": network()},
        {"my_own_name": named("inner.", network()), "epoch": 3},
        {"model": network(), "optimizer": OPTIMIZER, "lr_scheduler": {"x": torch.ones(2)}},
        {"model": network(), "best_rank1": torch.tensor(0.9)},
        LIGHTNING,
    ],
)
def test_wrappers_in_any_order(tmp_path, content):
    assert holds(opened(tmp_path, content), network())


def test_what_lies_beside_the_network_is_said(tmp_path):
    model = opened(tmp_path, LIGHTNING)
    assert model.facts["left_out"] == (
        "callbacks (1)",
        "state_dict.criterion (1)",
        "state_dict.train_loss (1)",
    )
    assert model.facts["prefix"] == "state_dict.model.model"


COPIES = {
    "two keys": ({"state_dict": network(0), "state_dict_ema": network(1)}, "state_dict_ema"),
    "one key": ({"model": {**named("student.", network()), **named("teacher.", network(1))}},
                "model.teacher"),
    "beside": ({**network(0), **named("ema.", network(1))}, "ema"),
}  # fmt: skip


@pytest.mark.parametrize("how", ["two keys", "one key"])
def test_of_two_networks_that_fit_none_is_picked_in_silence(tmp_path, how):
    content, key = COPIES[how]
    with pytest.raises(ModelError, match=rf"2 networks that fit, .*'{key}'.*--weights-key"):
        opened(tmp_path, content)


@pytest.mark.parametrize("how", COPIES)
def test_the_user_picks(tmp_path, how):
    content, key = COPIES[how]
    model = opened(tmp_path, content, weights_key=key)
    assert holds(model, network(1))
    assert model.facts["prefix"] == key
    assert model.facts["left_out"]


def test_a_copy_of_another_architecture_is_no_rival(tmp_path):
    other = torch.nn.Linear(3, 3).state_dict()
    model = opened(tmp_path, {"student": network(), "teacher": other})
    assert holds(model, network())
    assert model.facts["left_out"] == ("teacher (2)",)


def test_a_neck_is_not_lost_with_its_wrapper(tmp_path):
    content = {"backbone": network(), "neck": torch.nn.BatchNorm1d(5).state_dict()}
    with pytest.raises(ModelError, match=r"unexpected \(neck\.weight"):
        opened(tmp_path, content)
    model = opened(tmp_path, content, weights_key="backbone")  # the user's own word
    assert model.facts["left_out"] == ("neck (5)",)


def test_a_key_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match=r"weights key 'ema'; there are: model \(6\)"):
        opened(tmp_path, {"model": network()}, weights_key="ema")


def test_dicts_within_themselves_end():
    loop = {"weight": torch.ones(1)}
    loop["model"] = {"again": loop, "bias": torch.ones(1)}
    assert set(flatten(loop)) == {"weight", "model.bias"}
    wide = {"weight": torch.ones(1)}
    for _ in range(40):
        wide = {"a": wide, "b": wide}
    assert len(flatten(wide)) <= 2


def test_wrapped_weights_are_recognised():
    import torchvision

    state = torchvision.models.resnet18(num_classes=9).state_dict()
    content = {"state_dict": named("model.", state) | {"criterion.weight": torch.ones(3, 3)}}
    assert closest(flatten(content)) == "resnet18"


def pixels(mean, std):
    shape = (1, 3, 1, 1)
    return {
        "pixel_mean": torch.tensor(mean).view(shape),
        "pixel_std": torch.tensor(std).view(shape),
    }


IMAGENET = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def test_the_pixel_mean_inside_a_file_is_compared_with_the_card(tmp_path):
    assert opened(tmp_path, {"model": network() | pixels(*IMAGENET)})
    with pytest.raises(ModelError, match=r"pixel std of \[1.0, 1.0, 1.0\].*model\.card\.std="):
        opened(tmp_path, {"model": network() | pixels(IMAGENET[0], [1.0, 1.0, 1.0])})
    with pytest.raises(ModelError, match=r"pixel mean of \[127\.5"):
        opened(tmp_path, {"model": network() | pixels([127.5] * 3, [127.5] * 3)})
