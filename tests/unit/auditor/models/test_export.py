"""Exported networks give the features of the original, or are not written."""

import json

import pytest
import torch
from torch import nn

from auditor.embedding import embed
from auditor.errors import ModelError
from auditor.models.architectures.registry import build
from auditor.models.card import Card
from auditor.models.described import read_description
from auditor.models.export import export
from auditor.models.extractor import CardedExtractor
from tests.opening import open_model

CARD = Card(height=16, width=8, l2_norm=True)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, images):
        return self.body(images).mean((2, 3))


class Counting(Small):
    """Does one thing with two images and another with more, which no trace shows."""

    def forward(self, images):
        features = super().forward(images)
        return features if len(images) == 2 else features.flip(1)


class Pair(Small):
    """Gives two outputs, of which the card picks the second."""

    def forward(self, images):
        features = super().forward(images)
        return features.square(), features + 1


def test_what_was_written_is_what_was_there(tmp_path):
    extractor = CardedExtractor(Small(), CARD)
    facts = export(
        extractor, "tests.unit.auditor.models.test_export:Small", {"why": "test"}, tmp_path
    )
    assert json.loads((tmp_path / "card.json").read_text()) == json.loads(json.dumps(facts))
    images = torch.rand(7, 3, 16, 8)
    for name in ("model.torchscript.pt", "model.onnx"):
        again = open_model(tmp_path / name, arch=None, card=CARD).extractor
        assert torch.allclose(embed(again, images), embed(extractor, images), atol=1e-5)
    assert facts["arch"] == "tests.unit.auditor.models.test_export:Small"
    assert (facts["feature_dim"], len(facts["largest_difference"])) == (6, 3)


def test_a_network_rebuilt_with_group_normalisation_is_written_under_a_name_that_opens(tmp_path):
    arch = "tests.unit.auditor.models.test_export:Small"
    rebuilt = build(f"{arch}+groupnorm", (16, 8), seed=3).eval()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in rebuilt.modules())
    extractor = CardedExtractor(rebuilt, CARD)
    assert export(extractor, arch, {}, tmp_path)["arch"] == f"{arch}+groupnorm"
    said = read_description(tmp_path / "model.safetensors")
    again = open_model(tmp_path / "model.safetensors", arch=said.arch, card=said.card).extractor
    images = torch.rand(7, 3, 16, 8)
    assert torch.allclose(embed(again, images), embed(extractor, images), atol=1e-5)


def test_the_card_picks_the_output_of_the_export_too(tmp_path):
    card = Card(height=16, width=8, output=1)
    facts = export(CardedExtractor(Pair(), card), None, {}, tmp_path)
    assert set(facts["largest_difference"]) == {"model.torchscript.pt", "model.onnx"}
    assert max(facts["largest_difference"].values()) < 1e-4


def test_a_program_is_written_again(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    extractor = CardedExtractor(Small(), CARD)
    export(extractor, None, {}, first)
    program = open_model(first / "model.torchscript.pt", arch=None, card=CARD).extractor
    facts = export(program, None, {}, second)
    assert max(facts["largest_difference"].values()) < 1e-4
    again = open_model(second / "model.onnx", arch=None, card=CARD).extractor
    images = torch.rand(3, 3, 16, 8)
    assert torch.allclose(embed(again, images), embed(extractor, images), atol=1e-5)


def test_a_network_that_traces_wrongly_is_refused(tmp_path):
    with pytest.raises(ModelError, match="other features than the network"):
        export(CardedExtractor(Counting(), CARD), None, {}, tmp_path)


def test_the_network_itself_stays_as_it_was(tmp_path):
    network = Small()
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export(CardedExtractor(network, CARD), None, {}, tmp_path)
    assert all(torch.equal(kept[name], t) for name, t in network.state_dict().items())


# one of each kind; those that take longer are tried with the slow tests
FAMILIES = [
    ("pcb_resnet18", (64, 32)),
    ("transreid_tiny_sie2", (64, 32)),
    *(
        pytest.param(arch, size, marks=pytest.mark.slow)
        for arch, size in {
            "osnet_ain_x0_25": (64, 32),
            "mlfn": (64, 32),
            "hacnn": (160, 64),
            "agw_resnet18": (64, 32),
            "attention_resnet18": (64, 32),
            "isp_resnet18": (64, 32),
            "transreid_ssl_small": (64, 32),
            "pass_small": (64, 32),
            "clip_reid": (64, 32),
            "clip_reid_resnet50": (64, 32),
            "reid_resnest50": (64, 32),
            "solider_tiny": (64, 32),
            "mgn": (64, 32),
            "light_mbn": (64, 32),
            "iresnet18": (32, 32),
        }.items()
    ),
]


@pytest.mark.parametrize(("arch", "size"), FAMILIES)
def test_a_network_of_each_family_can_be_written(tmp_path, arch, size):
    card = Card(height=size[0], width=size[1])
    facts = export(CardedExtractor(build(arch, size).eval(), card), arch, {}, tmp_path)
    assert set(facts["largest_difference"]) == {
        "model.safetensors",
        "model.torchscript.pt",
        "model.onnx",
    }
