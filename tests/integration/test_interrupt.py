"""Ctrl-C and SIGTERM: what is finished stays readable, and nothing is half-written."""

import signal
import threading

import pytest

from auditor.report import load


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
    assert "audit: interrupted" in rest
    assert "Traceback" not in rest
    record = load(out / "report.json")
    assert not record.complete
    assert record.scenarios[0].utility
    assert record.scenarios[0].findings[0].status == "failed"
    assert "interrupted" in record.scenarios[0].findings[0].reason
    assert (out / "report.html").is_file()
    assert not [p.name for p in out.rglob(".*")]
