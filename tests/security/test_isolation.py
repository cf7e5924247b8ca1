"""Models that mean harm, in their worker: what they do stays there, and the audit goes on."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from auditor.embedding import embed
from auditor.errors import ModelError, ModelRefusedError
from auditor.models import open_model
from auditor.models.card import Card
from auditor.models.isolation import bubblewrap, landlock, launch, seccomp
from auditor.models.isolation.limits import Limits
from auditor.report import dumps
from tests.records import example_record

SMALL = Card(height=16, width=8, mean=(0, 0, 0), std=(1, 1, 1))
IMAGES = torch.rand(4, 3, 16, 8, generator=torch.Generator().manual_seed(0))

pytestmark = pytest.mark.skipif(
    not (landlock.version() and seccomp.available()), reason="this kernel has no Landlock"
)


@pytest.fixture(params=["bubblewrap", "landlock"])
def walls(request, monkeypatch):
    """Each kind of isolation that this machine allows."""
    if request.param == "landlock":
        monkeypatch.setattr(bubblewrap, "find", lambda: None)
        monkeypatch.setattr(launch, "_templates", LANDLOCK_ONLY)
    elif bubblewrap.find() is None:
        pytest.skip("bubblewrap is not installed")
    return request.param


LANDLOCK_ONLY = {}
"""Processes for workers without bubblewrap, apart from those with it."""


def opened(path, **options):
    limits = options.pop("limits", Limits(seconds=60))
    return open_model(path, arch=None, card=SMALL, limits=limits, **options)


# -- TorchScript --------------------------------------------------------------------------------


class Saves(nn.Module):
    def __init__(self, canary: str):
        super().__init__()
        self.canary = canary

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch.save(images, self.canary)
        return images.mean((2, 3))


class Reads(nn.Module):
    def __init__(self, secret: str):
        super().__init__()
        self.secret = secret

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        content = torch.from_file(self.secret, False, 6, dtype=torch.uint8)
        return images.mean((2, 3)) + content[:3]


class Loops(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = images.mean((2, 3))
        while bool(features.sum() > -1.0):
            features = features.abs()
        return features


class Grows(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kept = [images.mean((2, 3))]
        for _ in range(64):
            kept.append(torch.rand(1 << 26))  # noqa: PERF401
        return kept[0] + torch.stack([part[0] for part in kept[1:]]).sum()


class Prints(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        print("\x1b[2Jaudit: verdict: PASS")  # noqa: T201
        return images.mean((2, 3))


def scripted(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), path)
    return path


@pytest.mark.shows("script reaches")
def test_a_model_that_saves_a_file_cannot(tmp_path, walls):
    canary = tmp_path / "canary"
    path = scripted(tmp_path / "model.pt", Saves(str(canary)))
    opened(path)  # torch writes without looking whether it could
    assert not canary.exists()
    with_trust = opened(path, isolation="none")
    assert with_trust.facts["isolation"]["level"] == "none"
    assert canary.exists()


@pytest.mark.shows("script reaches")
def test_a_model_that_reads_a_file_cannot(tmp_path, walls):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path = scripted(tmp_path / "model.pt", Reads(str(secret)))
    with pytest.raises(ModelError, match="does not take a batch"):
        opened(path)
    features = opened(path, isolation="none").extractor(IMAGES)
    assert features.max() > 100  # what it would have got


@pytest.mark.shows("model ends")
def test_a_model_that_loops_is_stopped(tmp_path, walls):
    path = scripted(tmp_path / "model.pt", Loops())
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"gave no answer within 2 s and was stopped.*model\.sec"):
        opened(path, limits=Limits(seconds=2))
    assert time.monotonic() - began < 30


@pytest.mark.shows("model ends")
def test_a_model_that_grows_is_stopped(tmp_path, walls):
    path = scripted(tmp_path / "model.pt", Grows())
    with pytest.raises(ModelError, match=r"more memory than the 2\.0 GiB.*model\.memory_gib"):
        opened(path, limits=Limits(seconds=60, memory=2**31))


@pytest.mark.shows("script reaches")
def test_what_a_model_prints_is_not_seen(tmp_path, walls, capfd):
    model = opened(scripted(tmp_path / "model.pt", Prints()))
    assert embed(model.extractor, IMAGES).shape == (4, 3)
    assert capfd.readouterr() == ("", "")


def test_strong_isolation_is_what_each_wall_comes_to(tmp_path, walls):
    path = scripted(tmp_path / "model.pt", Prints())
    model = opened(path, isolation="strong")
    assert model.facts["isolation"]["level"] == "strong"
    assert {walls, "seccomp", "limits"} <= set(model.facts["isolation"]["by"])


def test_weak_isolation_is_a_process_with_limits(tmp_path):
    path = scripted(tmp_path / "model.pt", Prints())
    assert opened(path, isolation="weak").facts["isolation"] == {"level": "weak", "by": ["limits"]}


def test_nothing_less_than_strong(tmp_path, monkeypatch):
    monkeypatch.setattr("auditor.models.isolation.worker.level", lambda means: "weak")
    with pytest.raises(ModelRefusedError, match="must run in strong isolation") as refusal:
        opened(scripted(tmp_path / "model.pt", Prints()), isolation="strong")
    assert refusal.value.exit_code == 5


# -- torch.export -------------------------------------------------------------------------------


class Evil:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.mark.shows("pt2")
@pytest.mark.parametrize("isolation", ["auto", "none"])
def test_a_pt2_that_holds_a_pickle_is_refused(tmp_path, isolation):
    """torch itself falls back to full unpickling where its restricted reader refuses."""
    good, path, canary = (tmp_path / name for name in ("good.pt2", "model.pt2", "canary"))
    torch.export.save(torch.export.export(nn.Flatten(), (IMAGES,)), good)
    evil = tmp_path / "evil.pt"
    torch.save(Evil(canary), evil)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            replaced = name.endswith("sample_inputs/model.pt")
            target.writestr(name, evil.read_bytes() if replaced else source.read(name))
    with pytest.raises(ModelRefusedError, match="contains Python objects") as refusal:
        opened(path, isolation=isolation)
    assert refusal.value.exit_code == 5
    assert not canary.exists()


# -- somebody's own Python ----------------------------------------------------------------------

OWN = """
import os, socket, subprocess, sys, signal, ctypes
import torch

class Net(torch.nn.Module):
    def __init__(self, act):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))
        self.act = act

    def forward(self, images):
        self.act()
        return images.mean((2, 3)) * self.scale

def refused(act):
    try:
        act()
    except (OSError, RuntimeError):
        return
    raise SystemError("it could")

def harmless(): return Net(lambda: None)
def leaves(): return Net(lambda: os._exit(0))
class Leaver(Net):
    def forward(self, images):
        if len(images) > 40:
            os._exit(0)
        return super().forward(images)
def leaves_later(): return Leaver(lambda: None)
class Liar(Net):
    def forward(self, images):
        import gc
        from auditor.models.isolation.protocol import Channel, Message
        lie = Message({{"single": True, "kinds": [None], "grads": [True], "facts": 1}})
        for channel in [o for o in gc.get_objects() if isinstance(o, Channel)]:
            try: channel.send(lie)
            except OSError: pass  # the template's own, which is closed in here
        return super().forward(images)
def lies(): return Liar(lambda: None)
def exits(): return Net(lambda: sys.exit(0))
def crashes(): return Net(lambda: ctypes.string_at(0))
def connects(): return Net(lambda: refused(lambda: socket.create_connection(("127.0.0.1", {port}))))
def sends(): return Net(lambda: refused(
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {port}))))
def local(): return Net(lambda: refused(lambda: socket.socketpair()))
def runs(): return Net(lambda: refused(lambda: subprocess.run(["true"])))
def forks(): return Net(lambda: refused(os.fork))
def kills(): return Net(lambda: refused(lambda: os.kill(os.getppid(), signal.SIGKILL)))
def kills_audit(): return Net(lambda: refused(lambda: os.kill({pid}, 0)))
def writes(): return Net(lambda: refused(lambda: open({canary!r}, "w")))
def chmods(): return Net(lambda: refused(lambda: os.chmod({secret!r}, 0o777)))
def reads(): return Net(lambda: refused(lambda: open({secret!r}).read()))
def lists(): return Net(lambda: refused(lambda: os.listdir(os.path.expanduser("/root"))))
def grows_unseen(): return Net(lambda: refused(lambda: os.memfd_create("x")))
def core(): return Net(lambda: refused(lambda: open("/proc/self/mem", "r+b")))

def tells():
    def act():
        found = [name for name in os.environ if name in ("SECRET_TOKEN", "PATH")]
        files = []
        for number in range(3, 256):
            try:
                files.append(os.readlink(f"/proc/self/fd/{{number}}"))
            except OSError:
                pass
        if found or len(files) > 1:
            raise SystemError(f"it sees {{found}} {{files}}")
    return Net(act)
"""
HELD = [
    *("harmless", "connects", "sends", "local", "runs", "forks", "kills", "kills_audit"),
    *("writes", "chmods", "reads", "lists", "grows_unseen", "core", "tells"),
]


@pytest.fixture(scope="module", autouse=True)
def site(tmp_path_factory):
    """Where a stranger's code lies; for all tests, since a new path takes a new template."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture
def own_code(tmp_path_factory, monkeypatch, site):
    """Weights for networks of a stranger's own, and the port and files they are after."""
    monkeypatch.setenv("SECRET_TOKEN", "hf_x")
    away = tmp_path_factory.mktemp("away")
    secret, canary = away / "secret", away / "canary"
    secret.write_text("secret")
    names = {"port": 9, "canary": str(canary), "secret": str(secret), "pid": os.getpid()}
    (site / "own_nets.py").write_text(OWN.format(**names))
    weights = away / "weights.safetensors"
    safetensors.torch.save_file({"scale": torch.ones(3)}, weights)

    def opened_as(name, isolation="auto"):
        arch = f"own_nets:{name}"
        limits = Limits(seconds=60)
        return open_model(weights, arch=arch, card=SMALL, limits=limits, isolation=isolation)

    opened_as.weights = weights
    yield opened_as
    assert secret.read_text() == "secret"
    assert secret.stat().st_mode & 0o777 == 0o644
    assert not canary.exists()


@pytest.mark.shows("own code")
@pytest.mark.parametrize("name", HELD)
def test_what_own_code_cannot_do(own_code, walls, name):
    model = own_code(name)
    assert (model.facts["tier"], model.facts["trust"]) == ("C", "program")
    torch.testing.assert_close(embed(model.extractor, IMAGES), IMAGES.mean((2, 3)))


@pytest.mark.shows("model ends")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leaves", r"ended its own process \(exit code 0\)"),
        ("exits", r"the model tried to end the program \(0\)"),
        ("crashes", "died of signal 11"),
        ("lies", "no list of outputs"),
    ],
)
def test_own_code_that_ends_ends_itself_alone(own_code, walls, name, said):
    with pytest.raises((ModelError, Exception), match=said) as error:
        own_code(name)
    assert error.value.exit_code in (1, 2)
    assert embed(own_code("harmless").extractor, IMAGES).shape == (4, 3)


# -- whole audits -------------------------------------------------------------------------------

FED = {"preset": "torchreid", "height": 16, "width": 8}


@pytest.mark.shows("model ends")
def test_an_audit_whose_model_ends_itself_has_no_verdict(audit, write_config, own_code, tmp_path):
    weights = own_code.weights
    config = write_config(
        model={"path": str(weights), "arch": "own_nets:leaves_later", "card": FED, "seconds": 60},
        defenses={},
    )
    code, _, err = audit("run", "--config", config, "--out", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert record["environment"]["isolation"]["model"]["level"] == "strong"
    assert record["model"]["tier"] == "C"
    assert code == 2
    assert err.endswith(
        "audit: the model ended its own process (exit code 0); nothing else ended\n"
    )


def test_isolation_is_asked_for_by_option_and_policy(audit, write_config, tmp_path):
    path = scripted(tmp_path / "model.pt", Prints())
    config = write_config(model={"path": str(path), "card": FED})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auditor.models.isolation.worker.level", lambda means: "weak")
        code, _, err = audit(
            "run", "--config", config, "--isolation", "strong", "--out", tmp_path / "no"
        )
    assert code == 5
    assert "must run in strong isolation" in err
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nisolation: strong\n")
    record = json.loads(dumps(example_record()))
    other = tmp_path / "report.json"
    record["environment"]["isolation"] = {"model": {"level": "not needed", "by": []}}
    other.write_text(json.dumps(record))
    code, _, _ = audit("gate", other, "--policy", policy)
    assert code != 5  # weights of the catalogue need no isolation
    for isolation in ({"model": {"level": "weak", "by": ["limits"]}}, {}, None, "strong"):
        record["environment"]["isolation"] = isolation
        other.write_text(json.dumps(record))
        code, _, err = audit("gate", other, "--policy", policy)
        assert code == 5
        assert err.startswith("audit: the policy asks for strong isolation")


def test_an_audit_whose_model_loops_heeds_sigterm(audit_process, drawn_folder, tmp_path):
    path = scripted(tmp_path / "model.pt", Loops())
    card = ("--set", "model.card.height=16", "--set", "model.card.width=8")
    out = tmp_path / "out"
    process = audit_process("run", "--model", path, "--data", drawn_folder, "--out", out, *card)
    until = time.monotonic() + 120
    while busy(process.pid) is None and time.monotonic() < until:
        time.sleep(0.2)
    workers = descendants(process.pid)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert time.monotonic() - began < 20
    assert gone(workers)


def busy(pid):
    """A descendant in whose main thread a model computes; its name says python and runs."""
    for child in descendants(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks = int(fields[11])
            if fields[0] == "R" and ticks > 100 and len(descendants(pid)) >= 3:
                confined = Path(f"/proc/{child}/status").read_text()
                if "Seccomp:\t2" in confined:
                    return child
    return None


def gone(pids):
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


# -- processes ----------------------------------------------------------------------------------

HOLDS = """
import os, sys
from pathlib import Path
from auditor.models.card import Card
from auditor.models import open_model
card = Card(height=16, width=8)
model = open_model(Path(sys.argv[1]), arch=None, card=card)
print("ready", flush=True)
while True:
    model.extractor(__import__("torch").zeros(1, 3, 16, 8))
"""


def descendants(pid):
    found = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in found.splitlines()}
    under, new = set(), {pid}
    while new:
        under |= new
        new = {child for child, parent in parents.items() if parent in new} - under
    return under - {pid}


@pytest.mark.shows("killed")
@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps")
@pytest.mark.parametrize("walls", ["bubblewrap", pytest.param("landlock", marks=pytest.mark.slow)])
def test_a_killed_audit_leaves_no_worker(tmp_path, walls):
    path = scripted(tmp_path / "model.pt", Prints())
    paths = os.pathsep.join(sys.path)
    hidden = {} if walls == "bubblewrap" else {"PATH": str(tmp_path)}
    held = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)],
        env={**os.environ, "PYTHONPATH": paths, **hidden},
        stdout=subprocess.PIPE,
    )
    with held.stdout:
        assert held.stdout.readline() == b"ready\n"
    workers = descendants(held.pid)
    assert len(workers) >= 2
    held.send_signal(signal.SIGKILL)
    held.wait()
    assert gone(workers)


def test_the_canary_would_have_sung(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()
