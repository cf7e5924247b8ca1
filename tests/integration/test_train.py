"""`audit train`: weights that say what they are, and that an audit opens without being told."""

import json
import re
import socket

import pytest
import safetensors
import torch

from auditor.models.described import KEY, read_description
from auditor.models.reference import WEIGHTS
from auditor.report import load

QUICK = ("--arch", "reference", "--size", "64x32", "--epochs", "1", "--set", "steps=2",
         "--set", "people=4", "--set", "precision='32'")  # fmt: skip


@pytest.fixture
def trained(audit, drawn_folder, tmp_path):
    out = tmp_path / "own.safetensors"
    code, stdout, stderr = audit("train", "--data", drawn_folder, "--out", out, *QUICK)
    assert code == 0, stderr
    return out, stdout, stderr


def test_training_ends_with_weights_and_figures(trained):
    out, stdout, stderr = trained
    assert "trained on 100 people" in stdout
    assert "rank1:" in stdout
    assert "map:" in stdout
    assert "24 people" in stdout
    assert "[1/2] training reference" in stderr
    said = read_description(out)
    assert said.arch == "reference"
    assert (said.card.height, said.card.width) == (64, 32)
    assert said.facts["people"] == 100
    assert said.facts["recipe"]["epochs"] == 1
    assert not list(out.parent.glob("*.ckpt"))


def test_a_training_that_finds_nobody_is_told(audit, trained, drawn_folder, tmp_path):
    assert "Its rank1 is not shown to be above chance" in trained[1]
    good = ("--weights", WEIGHTS, "--arch", "reference", "--lr", "1e-6", *QUICK[4:])
    out = tmp_path / "good.safetensors"
    code, stdout, stderr = audit("train", "--data", drawn_folder, "--out", out, *good)
    assert code == 0, stderr
    assert "above chance" not in stdout


def test_an_audit_opens_what_was_trained_without_being_told_how(
    trained, audit, drawn_folder, tmp_path
):
    out, *_ = trained
    run = ("run", "--model", out, "--data", drawn_folder, "--out", tmp_path / "audit")
    config = tmp_path / "audit.yaml"
    config.write_text("attacks: {identity_lda: {}}\ndefenses: {}\n")
    code, _, stderr = audit(*run, "--config", config)
    assert code in (0, 4), stderr
    model = load(tmp_path / "audit" / "report.json").model
    assert model["arch"] == "reference"
    assert model["card"]["height"] == 64
    assert model["training"]["people"] == 100


def test_fine_tuning_says_what_it_began_with(audit, trained, drawn_folder, tmp_path):
    start, *_ = trained
    again = ("--weights", start, "--epochs", "1", "--set", "steps=1", "--set", "people=4")
    out = tmp_path / "again.safetensors"
    code, stdout, _ = audit("train", "--data", drawn_folder, "--out", out, *again)
    assert code == 0
    assert " -> " in stdout
    assert read_description(out).card == read_description(start).card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--arch", "osnet_x0_26"), "did you mean 'osnet_x0_25'"),
        ((), "give --arch"),
        (("--arch", "reference", "--set", "epoch=3"), "did you mean 'epochs'?"),
        (("--arch", "reference", "--set", "margin"), "key.path=value"),
        (("--arch", "reference", "--set", "margin=["), "not YAML"),
        (("--arch", "reference", "--size", "64"), "HEIGHTxWIDTH"),
        (("--arch", "reference", "--lr", "0"), "greater than 0"),
        (("--arch", "reference", "--resume"), "no .*own.ckpt"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
    ],
)
def test_what_cannot_be_followed_is_one_line(audit, drawn_folder, tmp_path, options, message):
    out = tmp_path / "own.safetensors"
    code, _, stderr = audit("train", "--data", drawn_folder, "--out", out, *options)
    assert code == 2
    assert stderr.count("\n") == 1

    assert re.search(message, stderr)
    assert not out.exists()


def test_nothing_is_overwritten_unasked(audit, trained, drawn_folder):
    out, *_ = trained
    kept = out.read_bytes()
    code, _, stderr = audit("train", "--data", drawn_folder, "--out", out, *QUICK)
    assert code == 2
    assert "--overwrite" in stderr
    assert out.read_bytes() == kept


def test_another_ending_is_refused_before_training(audit, drawn_folder, tmp_path):
    out = tmp_path / "own.pth"
    code, _, stderr = audit("train", "--data", drawn_folder, "--out", out, *QUICK)
    assert code == 2
    assert "own.safetensors" in stderr


def test_weights_that_describe_themselves_wrongly_are_refused(trained, audit, drawn_folder):
    out, *_ = trained
    with safetensors.safe_open(out, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    text = json.dumps({"arch": "reference", "card": {"hight": 64}, "facts": {}})
    safetensors.torch.save_file(tensors, out, {KEY: text})
    code, _, stderr = audit(
        "run", "--model", out, "--data", drawn_folder, "--out", out.parent / "x"
    )
    assert code == 2
    assert "hight" in stderr
    assert "--card" in stderr


def test_other_weights_say_nothing():
    assert read_description(WEIGHTS) is None


@pytest.mark.slow
def test_two_processes_share_a_training_and_one_writes(audit_process, drawn_folder, tmp_path):
    out = tmp_path / "shared.safetensors"
    devices = ("--device", "cpu", "--devices", "2")
    process = audit_process("train", "--data", drawn_folder, "--out", out, *QUICK, *devices)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert stdout.count("trained on 100 people") == 1
    assert "MEMBER: 2/2" in stderr
    assert read_description(out).facts["people"] == 100


@pytest.mark.slow
def test_two_machines_share_a_training_and_one_writes(
    audit_process, drawn_folder, tmp_path, monkeypatch
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    out = tmp_path / "shared.safetensors"
    options = ("train", "--data", drawn_folder, "--out", out, *QUICK, "--device", "cpu")
    machines = []
    for node in range(2):
        monkeypatch.setenv("NODE_RANK", str(node))
        machines.append(audit_process(*options, "--num-nodes", "2"))
    said = [machine.communicate(timeout=500) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert ["trained on 100 people" in stdout for stdout, _ in said] == [True, False]
    assert read_description(out).facts["people"] == 100


def test_more_devices_than_there_are_cost_a_line(audit, drawn_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    options = ("train", "--data", drawn_folder, "--out", tmp_path / "own.safetensors", *QUICK)
    code, _, stderr = audit(*options, "--device", "cuda", "--devices", "4")
    assert (code, stderr) == (
        6,
        "audit: --devices 4: this machine has 1 GPU; pass --devices 1\n",
    )


def test_machines_that_nothing_brings_together_are_not_waited_for(
    audit, drawn_folder, tmp_path, monkeypatch
):
    for name in ("MASTER_ADDR", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    options = ("train", "--data", drawn_folder, "--out", tmp_path / "own.safetensors", *QUICK)
    code, _, stderr = audit(*options, "--device", "cpu", "--num-nodes", "2")
    assert code == 2
    assert "torchrun or SLURM" in stderr
