"""Labels, paths and archives that lead elsewhere; steps and words that are not what they were."""

import io
import json
import sys
import warnings
import zipfile

import pytest
import torch
from PIL import Image

from auditor import config
from auditor.artifacts.manifest import MANIFEST, seal
from auditor.data.layouts.table import read_table
from auditor.errors import ModelRefusedError, UsageError
from auditor.models.sniff import sniff
from auditor.pipeline import resume
from auditor.pipeline.environment import occasion
from auditor.report import dumps
from tests import records

LABELS = [
    "..",
    ".",
    "a\\b",
    "../x",
    "a\nb",
    "a\x1b[2J",
    "x" * 300,
    " a",
    "a.",
    "C:",
    "a\x00b",
    ".x",
]


@pytest.mark.shows("labels")
@pytest.mark.parametrize("kind", ["attacks", "defenses"])
@pytest.mark.parametrize("label", LABELS, ids=repr)
def test_a_label_that_is_no_folder_of_its_own_is_refused(
    audit, write_config, tmp_path, kind, label
):
    blocks = {label: {"use": "identity_retrieval" if kind == "attacks" else "blur"}}
    code, _, err = audit("run", "--config", write_config(**{kind: blocks}), "--out", tmp_path / "o")
    assert code == 2
    assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("label", ["a b", "deid+blur", "dp_ε=1", "1", "stärker"])
def test_other_labels_stay_allowed(label):
    assert config.is_label(label)


@pytest.mark.shows("study")
def test_a_study_stays_in_its_folder(audit, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    (other / "study").mkdir(parents=True)
    (other / "study" / "key.csv").write_text("question,right,candidates\n1,1,2\n")
    (run / "personal").mkdir(parents=True)
    plain = json.loads(dumps(records.example_record()))
    plain["scenarios"][1]["defense"] = "../../other"
    (run / "report.json").write_text(json.dumps(plain))
    for scenario in ("", "../../other"):
        code, _, err = audit(
            "study", run / "report.json", "--out", tmp_path / "quiz", "--scenario", scenario
        )
        assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "quiz").exists()


@pytest.mark.shows("edited step")
def test_a_step_that_was_edited_after_it_was_sealed_is_run_again(tmp_path):
    (tmp_path / "steps").mkdir()
    for name in ("01-probe", "02-none-utility"):
        (tmp_path / "steps" / f"{name}.json").write_text("{}")
    record = records.example_record()
    (tmp_path / "report.json").write_text(dumps(record))
    seal(tmp_path, [], revealed=False)
    (tmp_path / "steps" / "02-none-utility.json").write_text('{"edited": 1}')
    assert resume.resume(tmp_path, record)
    assert [path.name for path in (tmp_path / "steps").iterdir()] == ["01-probe.json"]


def bytes_of_zip(*members):
    """An archive of members of one name."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the name is there already
        for content in members:
            archive.writestr("x/data.pkl", content)
    return written.getvalue()


@pytest.mark.shows("zip")
@pytest.mark.parametrize(
    "form", ["second table", "bytes behind", "bytes before", "compressed", "repeated"]
)
def test_an_archive_that_misleads_is_refused(tmp_path, form):
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save({"w": torch.zeros(2)}, good)
    assert sniff(good) == "checkpoint"
    content = good.read_bytes()
    bomb = bytes_of_zip(bytes(2**20))
    bad.write_bytes(
        {"second table": content + bomb, "bytes behind": content + b"\0" * 30,
         "bytes before": b"PK\x03\x04" + content,
         "compressed": bomb, "repeated": bytes_of_zip(b"a", b"b")}[form]
    )  # fmt: skip
    with pytest.raises(ModelRefusedError) as refusal:
        sniff(bad)
    assert refusal.value.exit_code == 5


def test_a_run_is_kept_without_the_folders_it_was_called_with(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["audit", "run", "--model", "/home/ada/m.pt", "--out=/x/y"])
    assert occasion()["command"] == "audit run --model …/m.pt --out=…/y" or (
        occasion()["command"] == "audit run --model '…/m.pt' '--out=…/y'"
    )


def test_a_card_on_the_command_line_takes_no_setting_away(tmp_path):
    flags = {"model": {"path": "m.pt", "card": "imagenet"}, "data": {"path": "d"}}
    read = config.load(None, flags, ["model.card.height=64"])
    assert read.model.card == {"preset": "imagenet", "height": 64}
    assert config.load(None, flags).model.card == "imagenet"


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "NA", "<NA>", ""])
def test_words_for_nothing_are_nothing(tmp_path, word):
    lines = ["path,pid,camid,split,hat"]
    for pid in (1, 2, 3, 4):
        for camera in (1, 2):
            name = f"{pid}_{camera}.png"
            Image.new("RGB", (8, 16)).save(tmp_path / name)
            lines.append(f"{name},{pid},{camera},,{word if camera == 1 else 'none'}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    assert set(read_table(tmp_path / "manifest.csv").attributes["hat"]) == {"", "none"}


def test_person_zero_is_not_dropped_as_nobody(audit, tmp_path):
    lines = ["path,pid,camid,split"]
    for pid in range(4):
        for camera, split in ((1, "query"), (2, "gallery")):
            Image.new("RGB", (8, 16)).save(tmp_path / f"{pid}_{camera}.png")
            lines.append(f"{pid}_{camera}.png,{pid},{camera},{split}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    code, _, err = audit("data", "check", tmp_path)
    assert code == 2
    assert "number people from 1" in err


def test_a_forged_line_in_a_message_is_indented():
    from auditor.console import pathless, printable

    assert "\n" not in printable("a\nverdict: PASS")
    assert pathless("at /home/ada/x.png") == "at …/x.png"
    with pytest.raises(UsageError, match="not a name of a folder"):
        config.load(None, {"attacks": {"..": {"use": "identity"}}})


FORGED = "x\x1b[2J\nwhole: 9 files as they were\u202e.png"


@pytest.mark.shows("forged lines")
def test_names_of_files_forge_no_line_of_a_check(audit, tmp_path):
    for person in "abcd":
        (tmp_path / person).mkdir()
        for number in range(4):
            Image.new("RGB", (8, 16)).save(tmp_path / person / f"{number}.png")
    (tmp_path / "a" / FORGED).write_bytes(b"no picture")
    code, out, err = audit("data", "check", tmp_path, "--max-broken", "0.5")
    assert (code, err) == (0, "")
    assert "x\ufffd[2J\ufffdwhole: 9 files" in out
    assert not any(line.startswith("whole") for line in out.splitlines())


@pytest.mark.shows("forged lines")
def test_names_of_files_forge_no_line_of_a_verification(audit, tmp_path):
    (tmp_path / "report.json").write_text(dumps(records.example_record()))
    (tmp_path / "report.html").write_text("")
    (tmp_path / "personal").mkdir()
    (tmp_path / "personal" / FORGED).write_text("")
    seal(tmp_path, (), revealed=False)
    (tmp_path / "personal" / FORGED).write_text("changed")
    code, out, _ = audit("verify", tmp_path)
    assert code == 3
    assert "changed: personal/x\ufffd[2J\ufffdwhole" in out
    assert not any(line.startswith("whole") for line in out.splitlines())


@pytest.mark.shows("forged lines")
def test_names_of_files_forge_no_line_of_a_purge(audit, tmp_path):
    """A manifest may come from a stranger, and names what showed people."""
    (tmp_path / "report.json").write_text(dumps(records.example_record()))
    seal(tmp_path, (), revealed=False)
    (tmp_path / f"report.{FORGED}").write_text("")
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "revealed": [f"report.{FORGED}"]}))
    code, out, _ = audit("purge", tmp_path)
    assert code == 0
    assert "report.x\ufffd[2J\ufffdwhole" in out
    assert not any(line.startswith("whole") for line in out.splitlines())


TOO_LONG = "a" * 300
"""A name that no file can have; asking whether there is one is an error of its own."""


@pytest.mark.shows("long names")
@pytest.mark.parametrize(
    "command",
    [
        *("inspect", "data check", "report", "gate", "status", "verify", "run --config"),
        *("purge", f"compare {TOO_LONG}", "plan --config", "init"),
        *(f"run --model {TOO_LONG} --data", "prior train --out p.safetensors --data"),
    ],
)
def test_a_name_too_long_for_a_file(audit, command):
    code, _, err = audit(*command.split(), TOO_LONG)
    assert code == 2
    (line,) = (line for line in err.splitlines() if line.startswith("audit:"))
    assert err.endswith(f"{line}\n")
    assert "too long" in line
