"""An exit code is what the command said at its very end, and never what some code in it did."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from auditor.cli import supervision
from auditor.errors import StrangerExitError
from auditor.plugins import containment
from auditor.plugins.containment import contain, interrupted, signals_heeded
from auditor.report import dumps
from tests import records

SCRIPT = """
import os, signal, subprocess, sys, time
from auditor.cli import supervision
supervision.UNHEARD = 0.4
{before}
def work(heard):
{body}
sys.exit(supervision.supervise(work))
"""


@pytest.fixture
def start():
    """Start a supervised piece of work; whatever of it is left in the end is ended."""
    begun = []

    def run(body, before=""):
        text = SCRIPT.format(
            before=before, body="\n".join(f"    {line}" for line in body.splitlines())
        )
        command = [sys.executable, "-c", text]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


ENDINGS = {
    "return 0": (0, ""),
    "return 3": (3, ""),
    "os._exit(0)": (1, "ended the program (0) before there was a verdict"),
    "os._exit(7)": (7, "ended the program (7)"),
    "sys.exit(0)": (1, "SystemExit"),
    "raise KeyError(0)": (1, "KeyError"),
    "os.kill(os.getpid(), signal.SIGKILL)": (137, "ended by SIGKILL"),
    "os.kill(os.getpid(), signal.SIGSEGV)": (139, "ended by SIGSEGV"),
    # both parts of a fork come back
    "os.fork()\nreturn 3": (3, ""),
    # a child of the child holds the pipe open
    "subprocess.Popen(['sleep', '60'], close_fds=False)\nos._exit(0)": (1, "verdict"),
}


@pytest.mark.shows("ended")
@pytest.mark.parametrize("body", ENDINGS)
def test_the_code_is_what_was_said_at_the_end(start, body):
    process = start(body)
    code, words = ENDINGS[body]
    assert process.wait(20) == code
    if words:
        assert words in os.read(process.stderr.fileno(), 10_000).decode()


@pytest.mark.shows("deaf")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('on', file=sys.stderr, flush=True)\n"
         "time.sleep(60)", 143),
        ("signal.signal(signal.SIGTERM, lambda *_: heard())\n"
         "print('on', file=sys.stderr, flush=True)\ntime.sleep(1)\nreturn 4", 4),
    ],
    ids=["deaf", "saving"],
)  # fmt: skip
def test_a_child_that_does_not_heed_a_signal_is_ended(start, body, code):
    process = start(body)
    assert process.stderr.readline() == "on\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == code
    assert ("did not heed" in process.stderr.read()) == (code == 143)


def test_a_signal_that_comes_before_it_is_forwarded_is_not_lost(start):
    late = (
        "forward = supervision._Watch.forward\n"
        "supervision._Watch.forward = lambda watch: (time.sleep(1), forward(watch))"
    )
    saving = "signal.signal(signal.SIGTERM, lambda *_: heard())\n"
    process = start(
        saving + "print('on', file=sys.stderr, flush=True)\ntime.sleep(3)\nreturn 4", late
    )
    assert process.stderr.readline() == "on\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 4


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_the_child_ends_with_its_supervisor(start):
    process = start("print(os.getpid(), file=sys.stderr, flush=True)\ntime.sleep(60)")
    child = int(process.stderr.readline())
    process.kill()
    process.wait()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("it lives on")


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit("x"), GeneratorExit(), Odd()], ids=str)
def test_what_would_end_the_program_comes_out_as_an_error(error):
    with pytest.raises(StrangerExitError, match="the thing"), contain("the thing"):
        raise error


def test_only_a_signal_is_an_interruption():
    with signals_heeded():
        with pytest.raises(StrangerExitError), contain():
            raise KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt) as stop, contain():
            signal.raise_signal(signal.SIGTERM)
        assert interrupted(stop.value)
        assert containment.stopped_by() == signal.SIGTERM
        signal.raise_signal(signal.SIGTERM)  # the same request, passed on by somebody else
    assert interrupted(KeyboardInterrupt())  # nobody watches here


@pytest.mark.shows("reader")
def test_a_reader_who_leaves_takes_no_verdict_away(audit, audit_process, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(dumps(records.example_record()))
    assert audit("gate", path)[0] == 3
    process = audit_process("gate", path)
    process.stdout.close()
    with process.stderr as said:
        assert process.wait(60) == 3
        assert "Traceback" not in said.read()


@pytest.mark.shows("full output")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's")
def test_output_on_a_full_disk_is_no_success():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "auditor", "schema"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 6
    assert done.stderr == "audit: output could not be written: No space left on device\n"


def test_threads_wait_asleep_unless_the_user_says_otherwise(monkeypatch):
    environment = {"KMP_BLOCKTIME": "200"}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(supervision, "supervise", lambda work: 0)
    with pytest.raises(SystemExit):
        supervision.entry()
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment["KMP_BLOCKTIME"] == "200"


def test_nothing_that_reads_how_threads_wait_is_loaded_before_it_is_said():
    script = (
        "import sys\nfrom auditor.cli import supervision\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
