"""What README says is what the program does."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from auditor import config
from auditor.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("audit ")
]


def test_the_first_screen_holds_the_two_commands():
    first = "\n".join(README.splitlines()[:40])
    assert 'python -m pip install -e ".[test]" && audit demo' in first
    assert 'python -m pip install -e ".[test]" && python -m pytest' in first


def test_readme_shows_commands():
    assert {command.split()[1] for command in COMMANDS} >= {"run", "gate", "report", "init", "list"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_readme_parses(command):
    _, name, *arguments = shlex.split(command)
    group = typer.main.get_command(app)
    with group.make_context("audit", [name, *arguments]) as context:
        sub = group.get_command(context, name)
        assert sub is not None, name
        sub.make_context(name, list(arguments), parent=context)


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_every_configuration_in_readme_loads(text, tmp_path):
    path = tmp_path / "audit.yaml"
    path.write_text(text)
    loaded = config.load(path, {})
    assert loaded.attacks


def test_the_configuration_that_init_writes_loads(tmp_path):
    text = (ROOT / "auditor" / "presets" / "audit.yaml").read_text()
    path = tmp_path / "audit.yaml"
    path.write_text(text)
    assert config.load(path, {}).gates
    # and its commented alternatives are not rotten either
    uncommented = re.sub(
        r"^( *)# (?=\s*(judges|osnet|dp_gallery_eps8|- \{address))", r"\1", text, flags=re.M
    )
    assert yaml.safe_load(uncommented)


def test_files_that_readme_links_to_exist():
    for link in re.findall(r"\]\((?!http|#)([^)#]+)", README):
        assert (ROOT / link).exists(), link


def test_init_does_not_overwrite(tmp_path, audit):
    path = tmp_path / "audit.yaml"
    assert audit("init", path)[0] == 0
    path.write_text("mine")
    code, _, stderr = audit("init", path)
    assert code == 2
    assert "exists" in stderr
    assert path.read_text() == "mine"
