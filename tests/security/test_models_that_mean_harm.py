"""What a model file says about itself is data: it names known networks, no code, and no more
numbers than it holds."""

import json

import pytest
import torch
from safetensors.torch import save_file

from auditor.models.described import KEY

WEIGHTS = {"0.weight": torch.zeros(4, 3 * 64 * 32)}
CODE = """
import torch
open({canary!r}, "w").close()
def make():
    return torch.nn.Sequential()
"""


def described_weights(path, arch, card=None):
    text = json.dumps({"arch": arch, "card": card or {"height": 64, "width": 32}, "facts": {}})
    save_file(WEIGHTS, path, {KEY: text})
    return path


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """Exists as soon as the module ``trap`` was imported."""
    path = tmp_path / "canary"
    (tmp_path / "trap.py").write_text(CODE.format(canary=str(path)))
    monkeypatch.syspath_prepend(tmp_path)
    return path


NAMES = ["sys:exit", "os:abort", "trap:make", "trap:make+groupnorm", "builtins:eval", "trap:"]


@pytest.mark.shows("named code")
@pytest.mark.parametrize(
    ("where", "arch"), [*(("model", name) for name in NAMES), ("judge", "trap:make")]
)
def test_a_file_that_names_code_is_refused(audit, write_config, tmp_path, canary, arch, where):
    path = described_weights(tmp_path / "weights.safetensors", arch)
    config = write_config(judges={"other": {"path": str(path)}}) if where == "judge" else (
        write_config(model={"path": str(path)})
    )  # fmt: skip
    code, _, err = audit("run", "--config", config, "--out", tmp_path / "out")
    assert code == 5
    assert err.startswith("audit: the file names code for its architecture")
    assert err.count("\n") == 1
    assert not canary.exists()


@pytest.mark.shows("named code")
@pytest.mark.parametrize("command", ["train", "defend"])
def test_other_commands_refuse_it_too(audit, tmp_path, drawn_folder, canary, command):
    path = described_weights(tmp_path / "weights.safetensors", "trap:make")
    out = tmp_path / ("out.safetensors" if command == "train" else "out")
    flag = "--weights" if command == "train" else "--model"
    extra = [] if command == "train" else ["--with", "dp_gallery:epsilon=10"]
    code, _, err = audit(command, flag, path, "--data", drawn_folder, "--out", out, *extra)
    assert code == 5, err
    assert not canary.exists()
    assert not out.exists()


OWN = """
import torch
def make():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 32, 4))
"""


@pytest.mark.shows("named code")
def test_who_names_the_code_themselves_still_has_the_files_card(tmp_path, monkeypatch):
    from auditor.config import ModelConfig
    from auditor.pipeline.inputs import open_configured

    (tmp_path / "own_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "weights.safetensors"
    text = json.dumps({"arch": "sys:exit", "card": {"height": 64, "width": 32}, "facts": {}})
    save_file({"1.weight": torch.zeros(4, 6144), "1.bias": torch.zeros(4)}, path, {KEY: text})
    model = open_configured(ModelConfig(path=path, arch="own_net:make"), torch.device("cpu"))
    assert model.extractor.input_size == (64, 32)
    assert model.facts["trust"] == "program"


@pytest.mark.shows("metadata")
@pytest.mark.parametrize("text", ["[" * 100_000, "nothing", "{}", '{"arch": 1}'], ids=len)
def test_a_description_that_cannot_be_followed_is_said(audit, write_config, tmp_path, text):
    path = tmp_path / "weights.safetensors"
    save_file(WEIGHTS, path, {KEY: text})
    code, _, err = audit("run", "--config", write_config(model={"path": str(path)}))
    assert code == 2
    assert "cannot be followed" in err
    assert len(err) < 1000


def save_claim(path, shape):
    """Safetensors of sixteen bytes, whatever their shape says."""
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 16]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))


CLAIMS = {
    "one number, repeated": lambda path: torch.save({"w": torch.zeros(1).expand(2**40)}, path),
    "large": lambda path: save_claim(path, [2**62, 4]),
    "negative": lambda path: save_claim(path, [-1, 4]),
}


@pytest.mark.shows("claims")
@pytest.mark.parametrize("claim", CLAIMS)
def test_weights_that_claim_more_than_they_hold_are_refused(audit, write_config, tmp_path, claim):
    path = tmp_path / "weights"
    CLAIMS[claim](path)
    model = {"path": str(path), "arch": "osnet_x0_25", "card": "torchreid"}
    code, _, err = audit("run", "--config", write_config(model=model), "--out", tmp_path / "out")
    assert (code, err.count("\n")) == (2, 1), err
    assert len(err) < 1000
    assert not (tmp_path / "out" / "report.json").exists()
