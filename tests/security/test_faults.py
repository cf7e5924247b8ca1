"""What breaks around an audit: kills, full disks, signals, models that go wrong midway.

The quick tests meet a few moments of an audit, the slow ones all of them. Which fault comes to what
is said in `tests.security.tables`, which the page on security prints.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from auditor.artifacts import manifest
from auditor.artifacts.ownership import hold_folder
from auditor.data.synthetic import make_world
from auditor.data.synthetic.world import save_world
from auditor.models.reference import WEIGHTS
from tests.integration.conftest import CARD
from tests.security import faults
from tests.security.faults import Touches, run_forked

INCONCLUSIVE = 4
"""What the small audit comes to: without controls, no attack has shown its power."""
PARTS = 8
"""Into which the whole sweeps are split, so that they run side by side."""


@dataclass(frozen=True)
class Small:
    """An audit of a second, and what it comes to when nothing goes wrong.

    Attributes:
        config: of the audit.
        reports: name -> bytes of everything rendered.
        touches: of its files.
        writes: of whole files.
    """

    config: Path
    reports: dict[str, bytes]
    touches: int
    writes: int

    def run(self, out, before=int, *more):
        """Run it in a process of its own; its temporary files lie beside ``out``."""
        temporary = out.with_suffix(".tmp")
        temporary.mkdir(exist_ok=True)

        def prepare():
            tempfile.tempdir = str(temporary)
            before()

        return run_forked(
            ["run", "--config", self.config, "--out", out, *more], out.with_suffix(".log"), prepare
        )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    import reports.ci
    import reports.excel
    import reports.html  # noqa: F401 -- or each fork would import them anew
    from auditor.pipeline import session  # noqa: F401

    home = tmp_path_factory.mktemp("small")
    people = make_world(identities=6, auxiliary=8, cameras=2, images_per_camera=2, seed=3)
    save_world(people, home / "people")
    config = {
        "model": {"path": str(WEIGHTS), "arch": "reference", "card": CARD},
        "data": {"path": str(home / "people")},
        "attacks": {"identity_retrieval": {}},
        "defenses": {"blur": {}},
        "controls": False,
        "rank_lists": 1,
        "study": 2,
        "tsne_people": 0,
    }
    (home / "audit.yaml").write_text(yaml.safe_dump(config))
    counts = home / "counts"

    def count():
        touches, fsyncs = Touches(home / "whole"), []
        touches.install()
        real = os.fsync

        def fsync(handle):
            fsyncs.append(handle)
            counts.write_text(f"{touches.count} {len(fsyncs)}")
            real(handle)

        os.fsync = fsync

    whole = Small(home / "audit.yaml", {}, 0, 0)
    ended = whole.run(home / "whole", count)
    assert ended.code == INCONCLUSIVE, ended.said
    touches, writes = map(int, counts.read_text().split())
    return Small(home / "audit.yaml", reports_in(home / "whole"), touches, writes)


def reports_in(out):
    return {path.name: path.read_bytes() for path in out.glob("report.*")}


def assert_nothing_is_half_written(out):
    for path in out.rglob("*.json"):
        json.loads(path.read_bytes())
    for path in out.rglob("*.png"):
        Image.open(path).load()
    for page in out.glob("*.html"):
        assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")


def goes_on(small, out):
    """The same command once more: the same reports, and nothing was done twice."""
    assert_nothing_is_half_written(out)
    finished = {path.name: path.read_bytes() for path in out.glob("steps/*.json")}
    again = small.run(out)
    assert again.code == INCONCLUSIVE, again.said
    assert "Traceback" not in again.said
    assert reports_in(out) == small.reports
    assert {name: (out / "steps" / name).read_bytes() for name in finished} == finished
    assert manifest.verify(out).whole
    assert not faults.leftovers(out)


def at(small, share):
    """The number of a touch, at a share of the way."""
    return max(1, round(share * small.touches))


def kill_at(small, out, number):
    ended = small.run(out, Touches(out, at=number, act=faults.kill).install)
    assert ended.code == -9, ended.said
    if out.exists():
        goes_on(small, out)


@pytest.mark.shows("kill")
@pytest.mark.parametrize("share", [0.1, 0.55, 0.97])
def test_a_killed_audit_goes_on_to_the_same_bytes(small, tmp_path, share):
    kill_at(small, tmp_path / "out", at(small, share))


@pytest.mark.shows("halfway")
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_audit_that_is_killed_in_mid_write_leaves_no_half_file(small, tmp_path, share):
    out = tmp_path / "out"
    halfway = faults.at_the_nth_fsync(round(share * small.writes), faults.kill_halfway)
    assert small.run(out, halfway).code == -9
    goes_on(small, out)


@pytest.mark.shows("own files")
def test_a_step_that_became_a_pipe_is_run_again(small, tmp_path):
    out = tmp_path / "out"
    assert small.run(out, Touches(out, at=at(small, 0.9), act=faults.kill).install).code == -9
    step, *_ = out.glob("steps/*.json")
    step.unlink()
    os.mkfifo(step)
    again = small.run(out)
    assert again.code == INCONCLUSIVE, again.said
    assert reports_in(out) == small.reports


@pytest.mark.slow
@pytest.mark.shows("kill", "halfway")
@pytest.mark.parametrize("part", range(PARTS))
def test_an_audit_that_is_killed_anywhere_goes_on_to_the_same_bytes(small, tmp_path, part):
    for number in range(1 + part, small.touches + 1, PARTS):
        kill_at(small, tmp_path / f"touch-{number}", number)
        shutil.rmtree(tmp_path / f"touch-{number}", ignore_errors=True)
    for number in range(1 + part, small.writes + 1, PARTS):
        out = tmp_path / f"write-{number}"
        assert small.run(out, faults.at_the_nth_fsync(number, faults.kill_halfway)).code == -9
        goes_on(small, out)


def full_at(small, out, number):
    full = Touches(
        out, out.with_suffix(".tmp"), at=number, act=faults.refuse,
        events=faults.GROWING, lasting=True,
    )  # fmt: skip
    ended = small.run(out, full.install)
    assert ended.code == 6, ended.said
    assert len(ended.lines) == 1, ended.said
    assert "No space left on device" in ended.lines[0]
    assert "Traceback" not in ended.said.replace("crashed:\nTraceback", "")
    if out.exists():
        assert not faults.leftovers(out)
        goes_on(small, out)


@pytest.mark.shows("full")
@pytest.mark.parametrize("number", [1, 9, 30])
def test_a_full_disk_costs_nothing_that_was_finished(small, tmp_path, number):
    full_at(small, tmp_path / "out", number)


@pytest.mark.slow
@pytest.mark.shows("full")
@pytest.mark.parametrize("part", range(PARTS))
def test_a_disk_may_be_full_at_any_writer(small, tmp_path, part):
    for number in range(1 + part, small.writes * 2, PARTS):
        full_at(small, tmp_path / f"out-{number}", number)


@pytest.mark.shows("full")
def test_a_disk_that_notices_late_that_it_is_full(small, tmp_path):
    out = tmp_path / "out"
    late = faults.at_the_nth_fsync(small.writes // 2, faults.no_space)
    ended = small.run(out, late)
    assert (ended.code, len(ended.lines)) == (6, 1), ended.said
    assert not faults.leftovers(out)
    goes_on(small, out)


@pytest.mark.shows("tmpdir")
def test_an_audit_needs_no_space_in_the_temporary_folder(small, tmp_path):
    out = tmp_path / "out"
    full = Touches(out.with_suffix(".tmp"), at=1, act=faults.refuse, lasting=True)
    assert small.run(out, full.install).code == INCONCLUSIVE


@pytest.mark.shows("shut")
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EDQUOT], ids=os.strerror)
@pytest.mark.parametrize("first", [1, 20])
def test_a_folder_that_may_not_be_written_to(small, tmp_path, number, first):
    def refuse(event, path):
        raise OSError(number, os.strerror(number), path)

    out = tmp_path / "out"
    shut = Touches(out, at=first, act=refuse, lasting=True)
    ended = small.run(out, shut.install)
    assert ended.code == 6, ended.said
    assert len(ended.lines) == 1, ended.said
    assert os.strerror(number) in ended.lines[0]


class Plain(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, (8, 4)).flatten(1)


@pytest.mark.shows("supervisor")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_a_killed_command_takes_its_processes_along_and_goes_on(small, tmp_path):
    torch.jit.save(torch.jit.script(Plain()), tmp_path / "model.pt")  # runs in a worker
    config = yaml.safe_load(small.config.read_text())
    config["model"] = {"path": str(tmp_path / "model.pt"), "card": CARD}
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(config))
    entry = [sys.executable, "-c", "from auditor.cli.supervision import entry; entry()", "run"]
    command = [*entry, "--config", tmp_path / "audit.yaml", "--out", tmp_path / "out"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    alike = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # as those compared to
    with subprocess.Popen(command, env=alike, **quiet) as begun:
        while not list(tmp_path.glob("out/steps/*.json")):
            time.sleep(0.01)
        others = faults.descendants(begun.pid)
        begun.kill()
    assert len(others) > 1  # the audit and the model's worker
    until = time.monotonic() + 20
    while living := others & faults.alive():
        assert time.monotonic() < until, living
        time.sleep(0.05)
    own = replace(small, config=tmp_path / "audit.yaml")
    assert own.run(tmp_path / "whole").code == INCONCLUSIVE
    goes_on(replace(own, reports=reports_in(tmp_path / "whole")), tmp_path / "out")


@pytest.mark.shows("sigterm")
@pytest.mark.parametrize("share", [0.2, 0.93])
def test_sigterm_leaves_what_is_finished(small, tmp_path, share):
    out = tmp_path / "out"
    ended = small.run(out, Touches(out, at=at(small, share), act=faults.ask_to_stop).install)
    assert ended.code == 143, ended.said
    assert ended.lines[-1] == "audit: interrupted"
    assert "Traceback" not in ended.said
    goes_on(small, out)


@pytest.mark.shows("writers")
def test_a_second_writer_is_refused_and_changes_nothing(small, tmp_path):
    out = tmp_path / "out"
    with hold_folder(out):
        (out / "report.json").write_text("the first one's")
        ended = small.run(out)
        assert (ended.code, len(ended.lines)) == (2, 1)
        assert "another audit is at work" in ended.lines[0]
        assert sorted(path.name for path in out.iterdir()) == ["audit.lock", "report.json"]
        assert (out / "report.json").read_text() == "the first one's"


class Changing(torch.nn.Module):
    """Does as it should until it has seen so many batches, counted from the opening on."""

    def __init__(self, until: int, shapes: bool):
        super().__init__()
        self.until, self.shapes = until, shapes
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = torch.nn.functional.adaptive_avg_pool2d(images, (8, 4)).flatten(1)
        self.seen += 1
        if int(self.seen) < self.until:
            return features
        if self.shapes:
            return features[:, :5]
        features[0] = float("nan")
        return features


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "until", "said"),
    [
        pytest.param("nan", 3, "NaN or infinity for 1 of", marks=pytest.mark.shows("nan")),
        pytest.param("nan", 12, "NaN or infinity for 1 of", marks=pytest.mark.shows("nan")),
        pytest.param("shapes", 3, "5)", marks=pytest.mark.shows("shapes")),
    ],
)
def test_a_model_that_changes_midway(small, tmp_path, kind, until, said):
    model = torch.jit.script(Changing(until, kind == "shapes"))
    torch.jit.save(model, tmp_path / "model.pt")
    config = yaml.safe_load(small.config.read_text())
    config["model"] = {"path": str(tmp_path / "model.pt"), "card": CARD, "isolation": "none"}
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(config))
    changed = replace(small, config=tmp_path / "audit.yaml")
    ended = changed.run(tmp_path / "out")
    assert ended.code == 2, ended.said
    assert len(ended.lines) == 1, ended.said
    assert said in ended.lines[0]
    assert "Traceback" not in ended.said
    assert_nothing_is_half_written(tmp_path / "out")


def test_no_folder_for_temporary_files_is_one_line(monkeypatch, capsys):
    from auditor.cli import main

    def full(*arguments, **options):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(main, "app", full)
    assert main.execute(["list"]) == 6
    said = capsys.readouterr().err
    assert said == "audit: cannot use: No usable temporary directory found in ['/tmp']\n"
