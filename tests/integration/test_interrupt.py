"""Ctrl-C and SIGTERM: what is finished stays readable, nothing is half-written, and it goes on."""

import json
import signal
import threading
import time

import pytest

from auditor.report import load
from tests import worlds


@pytest.fixture
def heeded_signals():
    """Undo the ignoring of Ctrl-C that a test run in the background hands down to its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_an_interrupted_run_leaves_what_is_finished(
    audit_process, write_config, tmp_path, number, code
):
    out = tmp_path / "out"
    # far more training than the test waits for
    config = write_config(attacks={"identity": {"epochs": 100_000}}, controls=False)
    process = audit_process("run", "--config", config, "--out", out)
    guard = threading.Timer(120, process.kill)
    guard.start()
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "none/identity …" in line:
            break
    process.send_signal(number)
    _, rest = process.communicate()
    guard.cancel()
    assert process.returncode == code, "".join(lines) + rest
    assert "the same command continues it" in rest
    assert "audit: interrupted" in rest
    assert "Traceback" not in rest
    record = load(out / "report.json")
    assert not record.complete
    assert record.scenarios[0].utility
    assert record.scenarios[0].findings[0].status == "failed"
    assert "interrupted" in record.scenarios[0].findings[0].reason
    assert (out / "report.html").is_file()
    assert not [p.name for p in out.rglob(".*")]


TWO_ATTACKS = {"identity": worlds.QUICK["identity"], "attribute": worlds.QUICK["attribute"]}


def test_a_killed_run_goes_on_to_the_same_bytes(audit, audit_process, write_config, tmp_path):
    config = write_config(attacks=TWO_ATTACKS, controls=False)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    # threads are part of what a record is of, so both runs are processes of the same kind
    assert run_through(audit_process("run", "--config", config, "--out", whole)) == 4
    process = audit_process("run", "--config", config, "--out", cut)
    for line in process.stderr:
        if "none/attribute …" in line:  # well before the end
            break
    process.kill()
    process.communicate()
    assert not load(cut / "report.json").complete
    finished = {path.name: path.read_bytes() for path in (cut / "steps").iterdir()}

    code, shown, _ = audit("status", cut)
    assert code == 130
    assert "  missing  none/attribute" in shown
    code, _, said = audit("run", "--config", config, "--out", cut, "--resume", "never")
    assert code == 2
    assert "--resume auto" in said
    code, _, said = audit("run", "--config", config, "--out", cut, "--seed", 5)
    assert code == 2
    assert "config.seed was 0 and is 5" in said
    assert run_through(audit_process("run", "--config", config, "--out", cut)) == 4

    assert {name: (cut / "steps" / name).read_bytes() for name in finished} == finished
    for name in ("report.json", "report.html", "report.xlsx"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    (first,) = json.loads((cut / "run.json").read_text())["earlier"]
    assert set(first) == {"created", "command"}
    assert audit("verify", cut)[0] == 0
    assert audit("status", cut)[0] == 0


def test_asking_for_more_keeps_what_was_found(audit, write_config, tmp_path):
    config = write_config(defenses={}, controls=False)
    out = tmp_path / "out"
    audit("run", "--config", config, "--out", out, "--defend", "strong=dp_gallery:epsilon=1")
    before = load(out / "report.json")
    gates = [{"address": "none/identity/top1", "limit": 1.0}]
    config = write_config(attacks=TWO_ATTACKS, defenses={}, controls=False, gates=gates)
    more = ["--defend", "weak=dp_gallery:epsilon=500", "--defend", "strong=dp_gallery:epsilon=1"]
    code, _, said = audit("run", "--config", config, "--out", out, *more)
    assert code == 4
    kept = [line.split()[1] for line in said.splitlines() if line.endswith(" kept")]
    assert kept == [
        "probe",
        "none/utility",
        "none/identity",
        "strong/utility",
        "strong/identity",
    ]
    after = load(out / "report.json")
    assert after.complete
    assert [s.defense for s in after.scenarios] == ["none", "weak", "strong"]
    then, now = (dict(record.measurements()) for record in (before, after))
    assert now["strong/identity/top1"] == then["strong/identity/top1"]
    assert audit("verify", out)[0] == 0


def test_keeping_and_throwing_away_do_not_go_together(audit, write_config, tmp_path):
    for resume in (["--resume", "auto"], ["--resume"]):  # alone, it means auto
        code, _, said = audit("run", "--config", write_config(), *resume, "--overwrite")
        assert code == 2
        assert "pass one of them" in said


def run_through(process):
    process.communicate()
    return process.returncode


@pytest.mark.slow
def test_a_killed_training_of_a_prior_goes_on_to_the_same_bytes(audit, audit_process, tmp_path):
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    training = ("prior", "train", "--synthetic", 4, "--epochs", 5, "--device", "cpu", "--out")
    assert audit(*training, whole)[0] == 0
    process = audit_process(*training, cut)
    checkpoint = cut.with_suffix(".ckpt")
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert (checkpoint.exists(), cut.exists()) == (True, False)
    code, _, stderr = audit(*training, cut, "--resume")
    assert code == 0, stderr
    assert cut.read_bytes() == whole.read_bytes()
    assert not checkpoint.exists()
