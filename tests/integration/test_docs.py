"""What README and the pages of docs/ say is what the program does: their commands are run.

In the quick tests an audit of people is done once, and stands in for those that the pages start;
everything else is as a reader would do it. ``-m slow`` runs the audits too, with brief attacks on
the shipped model.
"""

import importlib.util
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import typer
import yaml

from auditor import config, plugins
from auditor.artifacts.feature_store import FeatureStore
from auditor.cli.main import app
from auditor.gates import policy
from auditor.models.architectures.registry import build
from auditor.models.reference import WEIGHTS
from auditor.report import dumps, load
from tests import worlds
from tests.integration import pages
from tests.integration.conftest import CARD
from tests.integration.pages import ROOT
from tests.rows import stored_people
from tests.service import Service, serve

PAGES = [pages.read(path) for path in pages.PAGES]
README = next(page for page in PAGES if str(page) == "README.md")
SHARED = {
    name: worlds.QUICK.get(name, {})
    for name in ("identity_lda", "identity_retrieval", "attribute_logistic", "linkage")
} | {"identity": {"epochs": 150}}
"""The attacks of the audit that stands in for others."""
ADDRESS = "localhost:8000"
"""Where pages have a service."""
NUMBER = re.compile(r"\d[\d.,:]*(e-?\d+)?%?")


def by_name(page):
    return str(page)


with_commands = pytest.mark.parametrize("page", [p for p in PAGES if p.commands], ids=by_name)
every_page = pytest.mark.parametrize("page", PAGES, ids=by_name)


@pytest.fixture(scope="session")
def shared_audit(drawn_folder, tmp_path_factory):
    """The one audit of the quick tests: its folder, as `audit run` leaves it."""
    from auditor.cli.main import main

    home = tmp_path_factory.mktemp("shared")
    settings = {
        "model": {"path": str(WEIGHTS), "arch": "reference", "card": CARD},
        "data": {"path": str(drawn_folder)},
        "attacks": SHARED,
        "defenses": {
            "dp_gallery": {"epsilon": 100.0, "delta": 1e-5, "trials": 2000},
            "blur": {},
        },
    }
    (home / "audit.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    out = home / "audit-out"
    with pytest.raises(SystemExit) as stop:
        main(["run", "--config", str(home / "audit.yaml"), "--out", str(out)])
    assert stop.value.code in (0, 4)
    return out


def standing_in(shared):
    """`session.audit`, with the figures of the shared audit where it has them."""
    from auditor.pipeline import session

    audit_for_real, demo_for_real = session.audit, session.demo
    bare, defended, _ = load(shared / "report.json").scenarios

    def audit(settings, out, *, resume=False):
        named = {plugins.name_of("attacks", attack) for attack in settings.attacks.values()}
        if settings.features is not None or not named & set(SHARED):
            return audit_for_real(settings, out, resume=resume)
        data = session.open_data(settings.data)
        model = session.open_configured(settings.model, torch.device("cpu"))
        scenarios = [
            replace(
                scenario,
                defense=label,
                findings=tuple(f for f in scenario.findings if f.attack in named),
            )
            for label, scenario in [("none", bare), *((d, defended) for d in settings.defenses)]
        ]
        return _write(settings, out, tuple(scenarios), f"{model.facts['file']} on {data.name}")

    def demo(settings, out):
        if not set(settings.attacks) & set(SHARED):
            return demo_for_real(_brief(settings), out)
        return _write(settings, out, (bare, defended), "synthetic people")

    def _write(settings, out, scenarios, title):
        shutil.copytree(shared, out, dirs_exist_ok=True)
        if settings.cache is not None:
            FeatureStore(settings.cache)
        record = replace(
            load(shared / "report.json"),
            title=title,
            config=settings.to_record(),
            scenarios=scenarios,
            real_people=False,
        )
        (out / "report.json").write_text(dumps(record), encoding="utf-8")
        return record

    return audit, demo


class Reader:
    """Somebody who follows a page in a folder of their own."""

    def __init__(self, folder, audit, capsys, install):
        self.folder, self.audit, self.capsys, self.install = folder, audit, capsys, install
        self.code = 0
        self.service = ADDRESS

    def write(self, block):
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body.replace(ADDRESS, self.service), encoding="utf-8")

    def type(self, command):
        """Run a line; what it printed."""
        printed = ""
        for words in command.parts:
            self.code, output = self.start(words)
            printed += output
        return printed

    def start(self, words):
        match words:
            case ["audit", *arguments]:
                code, stdout, stderr = self.audit(*arguments)
                return code or 0, stdout + stderr
            case ["echo", "$?"]:
                return self.code, f"{self.code}\n"
            case ["python", script] if script.endswith(".py"):
                runpy.run_path(script, run_name="__main__")
                return 0, self.capsys.readouterr().out
            case ["python", "-m", "pip", "install", *packages]:
                return 0, self.install(packages)
            case ["python", "-m", "pytest", *_]:
                return 0, ""  # that is this
            case ["ls" | "cat" | "mkdir" | "cp" | "openssl", *_]:
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                return 0, done.stdout
        pytest.fail(f"the tests of the pages do not know how to run {' '.join(words)!r}")


@pytest.fixture
def service():
    """A model that others run."""
    with serve(Service()) as running:
        yield running


@pytest.fixture
def reader(tmp_path, audit, capsys, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUDIT_WEIGHTS", raising=False)
    before = set(sys.modules)

    def install(packages):
        for package in packages:
            if (tmp_path / package).is_dir():
                _install(tmp_path / package, tmp_path / "site")
                monkeypatch.syspath_prepend(tmp_path / "site")
            elif package != "-e":
                _known(package)
        return ""

    yield Reader(tmp_path, audit, capsys, install)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def _install(source, site):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run(command, check=True)


def _known(package):
    """A package of ours, with extras that it has."""
    name, _, extras = package.partition("[")
    assert name in (".", "reid-privacy-auditor"), package
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in filter(None, extras.rstrip("]").split(",")):
        assert extra in offered["optional-dependencies"], package


def prepare(page, folder, drawn_folder, request):
    """What the page says its reader has at hand."""
    for prop in page.props:
        place = folder / prop
        place.parent.mkdir(parents=True, exist_ok=True)
        if prop == "data/market":
            shutil.copytree(drawn_folder, place, copy_function=os.link)
        elif prop == "osnet_x0_25_msmt17.pth":
            torch.save(_torchreid_checkpoint(), place)
        elif prop == "gallery.npz":
            np.savez(place, **stored_people(people=60, dim=64))
        elif prop == "transreid.pth":
            torch.save(_transreid_checkpoint(), place)
        elif prop == "reid.pt2":
            torch.export.save(_exported(), place)
        elif prop == "gallery.parquet":
            rows = stored_people(people=60, dim=64)
            table = pd.DataFrame({**rows, "features": list(rows["features"])})
            table.to_parquet(place)
        elif prop == ADDRESS:
            url = request.getfixturevalue("service").url
            request.getfixturevalue("reader").service = urlsplit(url).netloc
        elif prop == "audit-out":
            shutil.copytree(request.getfixturevalue("shared_audit"), place)
        elif prop == "last-release":
            place.mkdir()
            (place / "report.json").write_text(_milder(request.getfixturevalue("shared_audit")))
        else:
            pytest.fail(f"nobody knows how to set up {prop!r}")


def _milder(shared):
    """The record of an earlier release, whose bare model leaked as little as noise lets it."""
    record = load(shared / "report.json")
    return dumps(replace(record, scenarios=(replace(record.scenarios[1], defense="none"),)))


def _torchreid_checkpoint():
    """An OSNet x0.25 as torchreid saves it; it has learned nothing."""
    weights = build("osnet_x0_25", (256, 128)).state_dict()
    weights["classifier.weight"] = torch.zeros(751, 512)
    weights["classifier.bias"] = torch.zeros(751)
    return {"state_dict": {f"module.{name}": w for name, w in weights.items()}, "epoch": 1}


def _transreid_checkpoint():
    """A transformer as TransReID saves it; it has learned nothing, and tells pictures apart."""
    theirs = (
        *((r"^necks\.0\.", "bottleneck."), (r"^necks\.(\d)\.", r"bottleneck_\1.")),
        *((r"^whole\.", "b1."), (r"^parts\.", "b2.")),
        (r"^(cls_token|pos_embed|patch_embed|blocks)", r"base.\1"),
    )
    weights = {}
    for name, tensor in build("transreid_tiny", (256, 128)).state_dict().items():
        for here, there in theirs:
            name = re.sub(here, there, name)
        weights[name] = tensor
    weights["base.patch_embed.proj.weight"] *= 20
    return {**weights, "classifier.weight": torch.zeros(751, 192)}


def _exported():
    """The shipped network as a program."""
    network = build("reference", (128, 64)).eval()
    network.load_state_dict(safetensors.torch.load_file(WEIGHTS))
    batch = {0: torch.export.Dim("batch", min=1, max=512)}
    return torch.export.export(network, (torch.rand(2, 3, 128, 64),), dynamic_shapes=(batch,))


def follow(page, reader):
    """Do what the page says, and see what it shows."""
    for block in page.blocks:
        if block.file:
            reader.write(block)
        if block.reason:
            continue
        codes = [command.text == "echo $?" for command in block.commands[1:]]
        for command, told in zip(block.commands, [*codes, False], strict=False):
            printed = reader.type(command)
            place = f"{page}:{block.line}: $ {command.text}\n{printed}"
            # few people stand in for those of the page: on them an attack may lack power
            audits = command.text.rpartition("&& ")[2].startswith(("audit run", "audit demo"))
            fine = (0, 4) if audits else (0,)
            assert told or command.text == "echo $?" or reader.code in fine, place
            shows(command.shown, printed, place)


def shows(expected, printed, place):
    """Whether the lines are printed in this order, whatever the figures; ``...`` is anything."""
    lines = iter([_shape(line) for line in printed.splitlines()])
    for line in expected:
        if re.fullmatch(r"\d+", line):
            assert line == printed.strip(), place
        elif line.strip() != "...":
            pattern = ".*".join(re.escape(_shape(part)) for part in line.split("..."))
            found = any(re.fullmatch(pattern, given) for given in lines)
            assert found, f"{line!r} is not printed by {place}"


def _shape(line):
    return NUMBER.sub("#", " ".join(line.split()))


@with_commands
def test_the_commands_of_a_page_do_what_it_says(
    page, reader, drawn_folder, tmp_path, request, monkeypatch
):
    shared = request.getfixturevalue("shared_audit")
    from auditor.pipeline import session

    audit, demo = standing_in(shared)
    monkeypatch.setattr(session, "audit", audit)
    monkeypatch.setattr(session, "demo", demo)
    monkeypatch.setattr(session, "DEMO_IDENTITIES", 24)
    monkeypatch.setattr(session, "DEMO_AUXILIARY", 40)
    prepare(page, tmp_path, drawn_folder, request)
    follow(page, reader)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if p.commands and p is not README], ids=by_name)
def test_the_commands_of_a_page_do_what_it_says_with_real_audits(
    page, reader, drawn_folder, tmp_path, request, monkeypatch
):
    if any(command.text.startswith("audit demo --overwrite") for command in page.commands):
        pytest.skip("the demo has a test of its own")
    from auditor.pipeline import session

    # the audit that pages share is not made brief
    prepare(page, tmp_path, drawn_folder, request)
    audit, open_named = session.audit, session.open_configured

    def open_shipped(settings, device, *_):
        open_named(settings, device)  # it opens; but it has learned nothing, so it leaks nothing
        shipped = config.ModelConfig(path=WEIGHTS, arch="reference", card=CARD)
        return open_named(shipped, device)

    monkeypatch.setattr(
        session, "audit", lambda config, out, **kw: audit(_brief(config), out, **kw)
    )
    monkeypatch.setattr(session, "open_configured", open_shipped)
    follow(page, reader)


def _brief(settings):
    """The same audit with attacks that take seconds."""
    attacks = {
        label: replace(attack, **worlds.QUICK.get(plugins.name_of("attacks", attack), {}))
        for label, attack in settings.attacks.items()
    }
    return settings.model_copy(update={"attacks": attacks})


def test_the_tests_would_see_a_command_that_fails(reader, tmp_path, capsys):
    for text in (
        "```console\n$ audit gate missing.json\n```\n",
        "```console\n$ audit --version\nsomething else\n```\n",
        "```console\n$ audit --version\n$ echo $?\n3\n```\n",
        "```bash\ntrue\n```\n",
    ):
        page = tmp_path / "page.md"
        page.write_text(text)
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            follow(pages.read(page), reader)


@with_commands
def test_every_command_parses(page):
    for command in page.commands:
        for words in command.parts:
            if words[0] == "audit":
                _parse(typer.main.get_command(app), "audit", words[1:])


def _parse(group, name, arguments):
    if arguments[-1] in ("--help", "--version"):
        return  # these would be obeyed while parsing
    with group.make_context(name, list(arguments)) as context:
        found, command, rest = group.resolve_command(
            context, context._protected_args + context.args
        )
        if hasattr(command, "commands"):
            _parse(command, found, rest)
        else:
            command.make_context(found, rest, parent=context)


@every_page
def test_every_block_says_what_it_is(page):
    for block in page.blocks:
        assert block.language not in ("", "sh", "shell"), f"{page}:{block.line}"
        if block.language == "console":
            assert block.body.startswith("$ "), f"{page}:{block.line}"


@every_page
def test_every_configuration_loads(page, tmp_path):
    for number, block in enumerate(page.blocks):
        if block.language != "yaml":
            continue
        found = yaml.safe_load(block.body)
        if isinstance(found, dict) and set(found) & set(config.AuditConfig.model_fields):
            path = tmp_path / f"{number}.yaml"
            path.write_text(block.body)
            if "version" in found:
                assert policy.load(path).version == 1
            else:
                alone = set(found) == {"gates"}
                assert config.gates_in(path) if alone else config.load(path, {}).attacks


@every_page
def test_every_json_is_json(page):
    for block in page.blocks:
        if block.language == "json":
            json.loads(block.body)


@every_page
def test_linked_files_exist(page):
    text = re.sub(r"```.*?```", "", page.text, flags=re.DOTALL)
    links = re.findall(r"\]\((?!http|#|mailto)([^)#\s]+)", text)
    links += re.findall(r"\{include\} (\S+)", text)
    for link in links:
        assert (page.path.parent / link).exists(), f"{page}: {link}"
    for figure in re.findall(r"!\[([^\]]*)\]", text):
        assert len(figure) > 20, f"{page}: a picture without a description"


def test_generated_parts_are_up_to_date():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    found = list(generate.pages())
    assert len(found) >= 3
    for path, text in found:
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.relative_to(ROOT)} is stale; run: python docs/generate.py"
        )


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="needs the extra docs")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").is_file()


def test_the_first_screen_holds_the_two_commands():
    first = "\n".join(README.text.splitlines()[:40])
    assert 'python -m pip install -e ".[test]" && audit demo' in first
    assert 'python -m pip install -e ".[test]" && python -m pytest' in first


def test_the_pages_show_every_command():
    typed = [words for page in PAGES for command in page.commands for words in command.parts]
    shown = {words[1] for words in typed if words[0] == "audit"}
    assert shown >= set(typer.main.get_command(app).commands)


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


def test_init_does_not_overwrite(tmp_path, audit):
    path = tmp_path / "audit.yaml"
    assert audit("init", path)[0] == 0
    path.write_text("mine")
    code, _, stderr = audit("init", path)
    assert code == 2
    assert "exists" in stderr
    assert path.read_text() == "mine"
