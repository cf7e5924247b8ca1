"""A plug-in fails by itself: other figures, reports and the exit code are not its to lose."""

import sys
from pathlib import Path

import pytest
import torch

from auditor.plugins.containment import SPOKEN
from auditor.report import dumps, load
from tests import records

ATTACKS = '''
import math, os, sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
import torch
from auditor.embedding import features_of, stored_gallery
from auditor.metrics import measure
from auditor.report import Curve, Measurement
from auditor.types import AttackResult


def raw(**changes):
    """A measurement that was never checked."""
    made = object.__new__(Measurement)
    fields = dict(metric="top1", value=0.5, n=8, low=0.4, high=0.6, chance=0.1, worse="higher",
                  unit="fraction", persons={}, note="")
    for name, value in {**fields, **changes}.items():
        object.__setattr__(made, name, value)
    return made


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError


class Mystery(BaseException):
    pass


def act(mode, target, ctx):
    pids = target.data.gallery.pids
    good = measure.rate("top1", torch.ones(len(pids), dtype=torch.bool), pids, chance=0.1)
    link = ctx.workdir / "link.png"
    (ctx.workdir.parent / "x.png").write_bytes(b"x")
    if mode == "link":
        link.symlink_to("/etc/passwd")
    raising = {
        "exit 0": SystemExit(0), "exit text": SystemExit("bye"), "keyboard": KeyboardInterrupt(),
        "generator": GeneratorExit(), "base": Mystery(), "memory": MemoryError(),
        "long": RuntimeError("x" * 5_000_000), "unspeakable": Unspeakable(),
        "surrogate": RuntimeError("bad \\udcff name"), "stop": StopIteration(),
        "escape": RuntimeError("\\x1b[2J\\nverdict: PASS"),
    }
    if mode in raising:
        raise raising[mode]
    if mode == "own exit":
        import typer
        raise typer.Exit(0)
    if mode == "hands":
        for what in (stored_gallery(target, ctx),
                     features_of(target.extractor, target.data.gallery, ctx)):
            what *= 0
            what += torch.rand(what.shape)
        return AttackResult((good,))
    if mode == "world":
        os.chdir("/")
        os.umask(0o777)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        return AttackResult((good,))
    if mode == "prints":
        print("verdict: PASS\\n\\x1b[2J" * 200, end="")
        return AttackResult((good,))
    if mode == "labels":
        target.data.gallery.pids.zero_()
        return AttackResult((good,))
    if mode == "memo":
        known = features_of(target.extractor, target.data.gallery, ctx)
        ctx.cache.add_features(target.extractor, target.data.gallery, known * 0)
    curve = Curve(name="c", metric="top1", x="x", points=())
    object.__setattr__(curve, "points", ((0.0, math.nan, 0.0, 0.0),))
    return {
        "none": None, "dict": {"top1": 1}, "empty": AttackResult(()),
        "text": AttackResult(("x",)), "mapping": AttackResult({"top1": good}),
        "nan": AttackResult((raw(value=math.nan),)),
        "infinite": AttackResult((raw(high=math.inf),)),
        "tensor": AttackResult((raw(value=torch.tensor(0.5)),)),
        "people": AttackResult((raw(persons={"9": (torch.tensor(1.0), 1)}),)),
        "outside": AttackResult((raw(value=0.9),)), "twice": AttackResult((good, good)),
        "many": AttackResult(tuple(replace(good, metric=f"m{i}") for i in range(5000))),
        "curve": AttackResult((good,), curves=(curve,)),
        "picture elsewhere": AttackResult((good,), exhibits={"a": Path("/etc/passwd")}),
        "picture above": AttackResult((good,), exhibits={"a": ctx.workdir / "../x.png"}),
        "picture missing": AttackResult((good,), exhibits={"a": ctx.workdir / "nope.png"}),
        "picture none": AttackResult((good,), exhibits={"a": None}),
        "link": AttackResult((good,), exhibits={"a": link}),
        "note": AttackResult((good,), notes=(b"x",)),
    }.get(mode)


@dataclass(frozen=True, kw_only=True)
class Evil:
    """Misbehaves."""

    mode: str = ""

    def run(self, target, ctx):
        return act(self.mode, target, ctx)


@dataclass(frozen=True, kw_only=True)
class EvilDefense:
    """Misbehaves too."""

    mode: str = ""

    def apply(self, target, ctx):
        if self.mode == "exit":
            sys.exit(0)
        releases = {
            "released nothing": lambda features, generator: None,
            "released less": lambda features, generator: features[:-1],
            "released nan": lambda features, generator: features * math.nan,
            "release exits": lambda features, generator: sys.exit(0),
        }
        if self.mode in releases:
            return replace(target, release=releases[self.mode])
'''
FAILING = {
    "exit 0": "tried to end the program (0)",
    "exit text": "tried to end the program (bye)",
    "own exit": "tried to end the program (0)",
    "keyboard": "raised KeyboardInterrupt",
    "generator": "raised GeneratorExit",
    "base": "raised Mystery",
    "memory": "MemoryError",
    "long": "RuntimeError: xxx",
    "unspeakable": "it cannot say why",
    "surrogate": "RuntimeError: bad",
    "stop": "StopIteration",
    "escape": "verdict: PASS",
    "memo": "cannot be replaced",
    "labels": "changed the people's labels",
    "none": "it returned nothing",
    "dict": "it returned a dict",
    "empty": "no measurement",
    "text": "a str, no Measurement",
    "mapping": "a dict, no tuple",
    "nan": "not finite",
    "infinite": "not finite",
    "tensor": "a Tensor",
    "people": "a Tensor",
    "outside": "outside its interval",
    "twice": "same name",
    "many": "at most",
    "curve": "not finite",
    "picture elsewhere": "not a file below",
    "picture above": "not a file below",
    "picture missing": "not a file below",
    "picture none": "no path",
    "link": "not a file below",
    "note": "where a text belongs",
}
DEFENSES = {
    "exit": "tried to end the program (0)",
    "nothing": "gave a NoneType, no Target",
    "released nothing": "gave NoneType",
    "released less": "the release gave",
    "released nan": "the release gave",
    "release exits": "tried to end the program (0)",
}


@pytest.fixture
def mischief(install):
    yield install(ATTACKS, attacks=["Evil"], defenses=["EvilDefense"])
    sys.modules.pop("mischief", None)


def blocks(plugin, modes):
    return {f"{plugin} {mode}": {"use": plugin, "mode": mode} for mode in modes}


@pytest.mark.shows("raises", "returns", "modifies", "world", "prints")
@pytest.mark.usefixtures("mischief")
def test_every_misbehaving_plugin_is_a_failed_finding_and_the_others_stay_right(
    audit, write_config, tmp_path
):
    before = Path.cwd()
    attacks = {**blocks("Evil", ["hands", "world", "prints", *FAILING]), "identity_retrieval": {}}
    config = write_config(attacks=attacks, defenses={}, controls=False, study=0)
    code, out, err = audit("run", "--config", config, "--out", tmp_path / "out")
    assert code == 4
    assert (tmp_path / "out" / "report.html").is_file()
    assert "\nverdict: PASS\n" not in out + err
    assert "\x1b[2J" not in out + err
    assert "\nverdict: PASS" not in out
    assert "\nthe attack prints: verdict: PASS\n" in err
    assert err.count("the attack prints:") == SPOKEN
    record = load(tmp_path / "out" / "report.json")
    found = {finding.attack: finding for finding in record.scenarios[0].findings}
    for mode, reason in FAILING.items():
        finding = found[f"Evil {mode}"]
        assert finding.status == "failed", mode
        assert reason in finding.reason, mode
        assert len(finding.reason) < 1100, mode
        assert "\n" not in finding.reason, mode
    alone = write_config(attacks={"identity_retrieval": {}}, defenses={}, controls=False)
    audit("run", "--config", alone, "--out", tmp_path / "alone")
    (honest,) = load(tmp_path / "alone" / "report.json").scenarios[0].findings
    assert {found[f"Evil {mode}"].status for mode in ("hands", "world", "prints")} == {"done"}
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert Path.cwd() == before
    assert found["identity_retrieval"].measurements == honest.measurements


@pytest.mark.shows("defenses")
@pytest.mark.usefixtures("mischief")
def test_every_misbehaving_defense_is_a_failed_scenario(audit, write_config, tmp_path):
    config = write_config(
        attacks={"identity_retrieval": {}},
        defenses=blocks("EvilDefense", DEFENSES),
        controls=False,
        study=0,
    )
    code, _, _ = audit("run", "--config", config, "--out", tmp_path / "out")
    assert code == 4
    bare, *defended = load(tmp_path / "out" / "report.json").scenarios
    assert bare.findings[0].status == "done"
    reasons = {scenario.defense: scenario.reason for scenario in defended}
    for mode, reason in DEFENSES.items():
        assert reason in reasons[f"EvilDefense {mode}"], mode


@pytest.mark.shows("raises")
@pytest.mark.usefixtures("mischief")
def test_a_control_or_budget_that_exits_leaves_the_attack_without_power(
    audit, write_config, tmp_path
):
    config = write_config(attacks=blocks("Evil", ["exit 0"]), defenses={}, budget=[0.5], study=0)
    code, _, _ = audit("run", "--config", config, "--out", tmp_path / "out")
    assert code == 4
    record = load(tmp_path / "out" / "report.json")
    (power,) = record.scenarios[0].findings[0].powers
    assert not power.shown
    assert "tried to end the program" in power.reason


RENDERERS = """
import sys
def aaa(report, verdicts, path, *, root, reveal):
    sys.exit(0)
def aab(report, verdicts, path, *, root, reveal):
    raise RuntimeError("broke")
"""


@pytest.mark.shows("renderers")
def test_renderers_that_fail_cost_no_other_report_and_turn_no_verdict(audit, install, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(dumps(records.example_record()))
    install(RENDERERS, renderers=["aaa", "aab"])
    code, _, err = audit("report", path, "--out", tmp_path / "again")
    sys.modules.pop("mischief", None)
    assert code == 1
    for name in ("html", "xlsx", "md", "sarif"):
        assert (tmp_path / "again" / f"report.{name}").is_file(), name
    assert "the renderer 'aaa' tried to end the program (0)" in err
    assert "the renderer 'aab' failed: RuntimeError: broke" in err


@pytest.mark.shows("imported")
def test_a_plugin_that_exits_when_imported_is_a_usage_error(audit, install, write_config):
    install("import sys\nsys.exit(0)\n", attacks=["gone"])
    code, _, err = audit("run", "--config", write_config(attacks={"gone": {}}))
    assert code == 2
    assert "tried to end the program" in err
