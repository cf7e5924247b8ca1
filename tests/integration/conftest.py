"""A folder of synthetic people and the shipped extractor, as a user would have them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from auditor.data.synthetic.world import save_world
from auditor.models.reference import WEIGHTS
from tests import worlds

CARD = {"preset": "torchreid", "height": 128, "width": 64, "l2_norm": True}


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    save_world(worlds.people(), folder)
    return folder


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, drawn_folder):
    """The folder of a run with blurred pictures; the people of a folder count as real."""
    from auditor.cli.main import main

    out = tmp_path_factory.mktemp("finished") / "out"
    config = {
        "model": {"path": str(WEIGHTS), "arch": "reference", "card": CARD},
        "data": {"path": str(drawn_folder)},
        "attacks": {"identity": worlds.QUICK["identity"]},
        "defenses": {"blur": {}},
    }
    path = out.parent / "audit.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit) as stop:
        main(["run", "--config", str(path), "--out", str(out)])
    assert stop.value.code in (0, 4)
    return out


@pytest.fixture
def write_config(tmp_path, drawn_folder):
    """Write a configuration of a quick audit, with some keys replaced."""

    def write(**changes):
        config = {
            "model": {"path": str(WEIGHTS), "arch": "reference", "card": CARD},
            "data": {"path": str(drawn_folder)},
            "attacks": {"identity": worlds.QUICK["identity"]},
            "defenses": {"dp_gallery": {"epsilon": 300.0, "delta": 1e-5}},
            **changes,
        }
        path = tmp_path / "audit.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    return write


@pytest.fixture
def audit(capsys):
    """Run the command in this process; gives exit code, standard output and standard error."""
    from auditor.cli.main import main

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def strangers_packages(tmp_path_factory):
    """A folder into which pip has installed the stranger's package."""
    target = tmp_path_factory.mktemp("site")
    source = Path(__file__).parent / "stranger"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(target)]
    # built from a copy: setuptools leaves its build folder in the source tree
    copy = tmp_path_factory.mktemp("stranger") / "blind_guess"
    subprocess.run(["cp", "-r", str(source), str(copy)], check=True)
    subprocess.run([*command, str(copy)], check=True, env={**os.environ, "PIP_NO_INPUT": "1"})
    return target


@pytest.fixture(scope="session")
def audit_process():
    """Start the command in a process of its own."""

    def start(*arguments, path=()):
        places = [str(Path(__file__).parents[2]), *map(str, path)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
        command = [sys.executable, "-m", "auditor", *map(str, arguments)]
        return subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start
