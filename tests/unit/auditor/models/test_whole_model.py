"""Weights are taken out of pickled networks, and nothing that those name is called."""

import pickle

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from auditor.cli.main import execute
from auditor.models.files import open_files
from auditor.models.sniff import sniff
from auditor.models.whole_model import read_whole_model


class Own(nn.Module):
    """A network of somebody's own classes, with a parameter that two names share."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)
        self.again = self.head.weight
        self.register_buffer("scale", torch.ones(2, dtype=torch.float16))


class Calls:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.canary}",)


def read(path):
    form = sniff(path)
    with open_files(path, form) as files:
        return read_whole_model(form, files)


def written(tmp_path, content, how="zip"):
    path = tmp_path / "model.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    return path


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("make", [Own, lambda: torchvision.models.resnet18(num_classes=3)])
def test_a_network_gives_its_state_dict(tmp_path, how, make):
    network = make()
    state = read(written(tmp_path, network, how))
    wanted = network.state_dict()
    assert set(state) == set(wanted)
    assert all(torch.equal(state[name], tensor) for name, tensor in wanted.items())


def test_networks_in_a_dict(tmp_path):
    content = {"model": Own(), "epoch": 3, "optimizer": torch.optim.SGD([torch.ones(1)], 0.1)}
    state = read(written(tmp_path, content))
    assert {f"model.{name}" for name in Own().state_dict()} <= set(state)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_nothing_that_it_names_is_called(tmp_path, how):
    canary = tmp_path / "canary"
    path = written(tmp_path, {"model": Own(), "x": Calls(canary)}, how)
    assert read(path)
    assert not canary.exists()


def test_the_command_says_and_does(tmp_path, capsys):
    canary, target = tmp_path / "canary", tmp_path / "model.safetensors"
    network = Own()
    network.extra = Calls(canary)
    path = written(tmp_path, network)
    assert execute(["convert-weights", str(path)]) == 5
    said = capsys.readouterr()
    assert "safetensors.torch.save_file" in said.out
    assert "--i-trust-this-file" in said.err
    assert not target.exists()
    assert execute(["convert-weights", str(path), "--i-trust-this-file"]) == 0
    assert not canary.exists()
    state = safetensors.torch.load_file(target)
    assert torch.equal(state["head.weight"], network.head.weight)
    assert execute(["convert-weights", str(path), "--i-trust-this-file"]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize("content", [3, {"epoch": 3}, [1, 2]])
def test_a_pickle_without_weights(tmp_path, content):
    path = written(tmp_path, content)
    assert execute(["convert-weights", str(path), "--i-trust-this-file"]) == 2


def test_what_is_no_pickle(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"a": torch.ones(1)}, path)
    assert execute(["convert-weights", str(path)]) == 2
