"""What each wall is told: the commands and filters, and whether this machine obeys them."""

import errno
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.models.isolation import bubblewrap, launch, seccomp
from auditor.models.isolation.confinement import level
from auditor.models.isolation.limits import Limits

# -- bubblewrap ---------------------------------------------------------------------------------


def test_an_empty_machine_with_python_in_it():
    command = bubblewrap.command(
        "bwrap", ["python", "-c", "pass"], [Path("/opt/venv")], [Path("/dev/nvidia0")]
    )
    assert command[0] == "bwrap"
    assert {"--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"} <= {*command}
    assert command[-3:] == ["python", "-c", "pass"]
    text = " ".join(command)
    assert "--cap-drop ALL" in text
    assert "--ro-bind-try /opt/venv /opt/venv" in text
    assert "--dev-bind-try /dev/nvidia0 /dev/nvidia0" in text
    assert f"--size {bubblewrap.SCRATCH_BYTES} --tmpfs /scratch --remount-ro /" in text
    # whatever is written to is made by bubblewrap itself
    assert not re.search(r"--bind", text)
    for private in ("/home", "/root", "/etc ", "/var", "/run"):
        assert f"--ro-bind-try {private}" not in text


def test_the_environment_holds_nothing_of_the_users(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    found = launch._environment("/scratch")
    assert "HF_TOKEN" not in found
    assert "PATH" not in found
    assert found["CUDA_VISIBLE_DEVICES"] == "1"
    assert found["TMPDIR"] == "/scratch"


def test_strong_takes_a_filter_and_a_wall():
    assert level(["limits", "landlock", "seccomp"]) == "strong"
    assert level(["limits", "bubblewrap"]) == level(["limits", "landlock"]) == "weak"


def test_memory_is_limited_by_default():
    assert 0 < Limits().memory < 2**50
    assert Limits(memory=5).memory == 5


# -- seccomp ------------------------------------------------------------------------------------

ALLOW, EPERM, ENOSYS = seccomp.ALLOW, seccomp.ERRNO | errno.EPERM, seccomp.ERRNO | errno.ENOSYS


def run(program, number, *arguments, architecture):
    """What the filter gives for a call, instruction by instruction as the kernel does it."""
    memory = {seccomp.NUMBER: number, seccomp.ARCHITECTURE: architecture}
    memory |= {seccomp.FIRST_ARGUMENT: arguments[0] if arguments else 0}
    place = value = 0
    while True:
        code, yes, no, operand = program[place]
        place += 1
        if code == seccomp.LOAD:
            value = memory[operand]
        elif code == seccomp.GIVE:
            return operand
        else:
            hit = {
                seccomp.EQUAL: value == operand,
                seccomp.AT_LEAST: value >= operand,
                seccomp.ANY_BIT: bool(value & operand),
            }[code]
            place += yes if hit else no


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_every_call_of_the_table_is_refused_and_no_other(machine):
    column, architecture, _ = seccomp.ARCHITECTURES[machine]
    program = seccomp.rules(machine)
    assert all(0 <= yes < 256 and 0 <= no < 256 for _, yes, no, _ in program)
    refused = {numbers[column] for numbers in seccomp.REFUSED.values()} - {seccomp.NONE}
    special = {seccomp.CLONE[column], seccomp.CLONE3[column]}
    special |= {numbers[column] for numbers in seccomp.TO_ITSELF.values()}
    for number in range(500):
        if number not in special:
            want = EPERM if number in refused else ALLOW
            assert run(program, number, architecture=architecture) == want, number


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_threads_are_allowed_and_processes_are_not(machine, monkeypatch):
    column, architecture, _ = seccomp.ARCHITECTURES[machine]
    monkeypatch.setattr("os.getpid", lambda: 77)
    program = seccomp.rules(machine)

    def given(number, *arguments):
        return run(program, number, *arguments, architecture=architecture)

    assert given(seccomp.CLONE[column], 0x003D0F00) == ALLOW
    assert given(seccomp.CLONE[column], 17) == EPERM
    assert given(seccomp.CLONE3[column]) == ENOSYS
    for numbers in seccomp.TO_ITSELF.values():
        assert given(numbers[column], 77) == ALLOW
        assert given(numbers[column], 1) == EPERM
    assert given(0x40000000 + 41) == EPERM
    assert run(program, 0, architecture=3) == seccomp.KILL


HEADERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


@pytest.mark.skipif(not HEADERS.exists(), reason="the kernel's headers are not installed")
def test_numbers_are_the_kernels():
    defined = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADERS.read_text()))
    ours = {**seccomp.REFUSED, **seccomp.TO_ITSELF, "clone": seccomp.CLONE}
    known = {name: number for name, (number, _) in ours.items() if name in defined}
    assert len(known) > 60
    assert {name: int(defined[name]) for name in known} == known


OBEYED = """
import os, socket, sys
from pathlib import Path
from auditor.models.isolation.confinement import confine
from auditor.models.isolation.limits import Limits
secret, scratch = map(Path, sys.argv[1:])
python = [Path(p) for p in (*sys.path, sys.prefix, sys.base_prefix, "/usr", "/lib") if p]
print(*confine(Limits(), python, [scratch]))
(scratch / "file").write_text("allowed")
for forbidden in (
    lambda: (secret / "file").read_text(), lambda: os.listdir(secret), socket.socket, os.fork,
    lambda: (scratch.parent / "other").write_text(""), lambda: os.kill(os.getppid(), 0),
    lambda: os.chmod(scratch, 0o777), lambda: os.execv("/bin/true", ["true"]),
):
    try:
        forbidden()
    except PermissionError:
        continue
    sys.exit("it could")
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="Linux confines so")
def test_this_machine_obeys(tmp_path):
    secret, scratch = tmp_path / "secret", tmp_path / "scratch"
    for folder in (secret, scratch):
        folder.mkdir()
        (folder / "file").write_text("content")
    done = subprocess.run(
        [sys.executable, "-c", OBEYED, secret, scratch], capture_output=True, text=True
    )
    if level(done.stdout.split()) == "weak":
        pytest.skip(f"this machine has {done.stdout}")
    assert done.returncode == 0, done.stderr
    assert (scratch / "file").read_text() == "allowed"
