"""`auditor.audit`: the pipeline of `audit run`, with networks, people and plug-ins in memory."""

import gc
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

import auditor
from attacks.identity import IdentityLda
from auditor import config as configuration
from auditor.data.synthetic.world import save_world
from auditor.embedding import features_of
from auditor.errors import DataError, EnvironmentUnmetError, ModelError, UsageError
from auditor.metrics import measure
from auditor.models.extractor import CardedExtractor
from auditor.models.reference import WEIGHTS
from auditor.pipeline import session
from auditor.plugins.declaring import JudgeLabel, checked_dataclass
from auditor.report import dumps
from auditor.types import AttackResult
from defenses.dp_gallery import GalleryNoise
from defenses.image_deid import Blur
from tests import worlds
from tests.unit.auditor.api.own import CARD, NearestPicture, Net, Uncontrolled

SMALL = {"preset": "torchreid", "height": 64, "width": 32, "l2_norm": True}
QUIET = {"progress": False, "card": CARD}


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Puts another network in the place of the audited one; holds it in a field."""

    network: nn.Module

    def apply(self, target, ctx):
        """See `auditor.types.Defense`."""
        extractor = CardedExtractor(self.network, target.extractor.card)
        return replace(target, extractor=extractor)


@pytest.fixture(scope="module")
def report():
    """One audit of an own network by an own attack, bare, under noise and under a chain."""
    return auditor.audit(
        Net(),
        worlds.people(),
        attacks=[IdentityLda(), NearestPicture(), Uncontrolled()],
        defenses={
            "noise": GalleryNoise(epsilon=300),
            "both": [Blur(image_size=(64, 32)), GalleryNoise(epsilon=300)],
        },
        gates=[auditor.Gate(address="none/utility/rank1", limit=0.99)],
        **QUIET,
    )


def test_both_roads_give_the_same_record_byte_for_byte(tmp_path):
    save_world(worlds.few(), tmp_path / "people")
    chain = {"chain": [{"use": "blur", "image_size": [64, 32]}, {"use": "dp_gallery"}]}
    settings = {
        "model": {"path": str(WEIGHTS), "arch": "reference", "card": SMALL},
        "data": {"path": str(tmp_path / "people")},
        "attacks": {"lda": {"use": "identity_lda", "shrinkage": 0.2}},
        "defenses": {"noise": {"use": "dp_gallery", "epsilon": 300.0}, "both": chain},
        "gates": [{"address": "*/ladder/identity.top1", "limit": 0.1}],
        "seed": 3,
    }
    file = tmp_path / "audit.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    from_file = configuration.load(file, {})
    session.audit(from_file, tmp_path / "shell")
    auditor.audit(
        str(WEIGHTS),
        tmp_path / "people",
        arch="reference",
        card=SMALL,
        attacks=from_file.attacks,
        defenses=from_file.defenses,
        gates=[auditor.Gate(address="*/ladder/identity.top1", limit=0.1)],
        seed=3,
        out=tmp_path / "python",
        progress=False,
    )
    shell, python = ((tmp_path / road / "report.json").read_bytes() for road in ("shell", "python"))
    assert python == shell


def test_what_is_not_installed_is_named_by_its_class(report):
    mine = report.record.config["attacks"]["nearest_picture"]
    assert mine == {"use": "tests.unit.auditor.api.own:NearestPicture", "cosine": True}
    assert "use" not in report.record.config["attacks"]["identity_lda"]
    finding = report.record.finding("none", "nearest_picture")
    assert (finding.plugin, finding.family) == (mine["use"], "nearest_picture")
    assert finding.threat_model.startswith("has the stored gallery")
    assert report.record.model["arch"] == "tests.unit.auditor.api.own:Net"


def test_an_own_attack_is_certified_by_the_default_controls_or_said_not_to_be(report):
    shown = report.record.finding("none", "nearest_picture").power("top1")
    assert shown.outcome == "shown"
    assert shown.planted.value > 0.9 > shown.null.value
    assert "nearest_picture" in {f.attack for f in report.scenarios[1].findings if f.power().shown}
    missing = report.record.finding("none", "uncontrolled").power("top1")
    assert missing.outcome == "not-run"
    assert "a control does not suit it" in missing.reason
    frame = report.to_frame().set_index(["scenario", "attack", "metric"])["certified"]
    assert frame["noise", "nearest_picture", "top1"]
    assert not frame["noise", "uncontrolled", "top1"]
    limits = [auditor.Gate(address=f"none/{a}/top1", limit=1.0) for a in ("nearest_picture",)]
    assert report.judge(limits)[0].outcome == "pass"
    limits = [auditor.Gate(address="none/uncontrolled/top1", limit=1.0)]
    assert report.judge(limits)[0].outcome == "inconclusive"


def test_the_gates_of_the_audit_are_the_ones_that_are_judged(report):
    assert [gate.limit for gate in report.gates] == [0.99]
    assert report.judge().outcome == "fail"
    with pytest.raises(auditor.VerdictError, match="FAIL none/utility/rank1") as raised:
        report.judge().raise_for_outcome()
    assert raised.value.exit_code == 3


def test_pictures_in_a_temporary_folder_go_with_the_report():
    def audited():
        return auditor.audit(
            Net(), worlds.few(), attacks=[NearestPicture()], controls=False, **QUIET
        )

    with audited() as report:
        folder = report.folder
        (shown, *_) = report.scenarios[0].rank_lists
        assert (folder / shown.picture).is_file()
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    with pytest.raises(UsageError, match="name one"):
        report.render()
    report = audited()
    folder = report.folder
    del report
    gc.collect()
    assert not folder.exists()


def test_a_failed_audit_leaves_no_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ModelError, match="NaN"):
        auditor.audit(
            worlds.NanExtractor(), worlds.few(), attacks=[NearestPicture()], progress=False
        )
    assert list(tmp_path.iterdir()) == []


def test_the_network_stays_as_it_was():
    net = Net().train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    auditor.audit(
        net, worlds.few(), attacks=[NearestPicture()], controls=False,
        defenses={"half": Scaled(network=Net(8))}, **QUIET,
    )  # fmt: skip
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_defenses_that_differ_by_a_network_alone_are_two():
    defenses = {f"d{width}": Scaled(network=Net(width)) for width in (4, 8)}
    given = {"attacks": [NearestPicture()], "controls": False, **QUIET}
    report = auditor.audit(Net(), worlds.few(), defenses=defenses, **given)
    said = [report.record.config["defenses"][name]["network"] for name in defenses]
    assert said == ["tests.unit.auditor.api.own:Net"] * 2
    values = {report[f"{name}/utility/map"].value for name in ("none", *defenses)}
    assert len(values) == 3


@dataclass(kw_only=True)
class Remembering:
    """Learns more each time that it is run, which no attack may."""

    runs: int = 0

    def run(self, target, ctx):
        """See `auditor.types.Attack`."""
        self.runs += 1
        found = NearestPicture().run(target, ctx)
        return AttackResult((replace(found.measurements[0], note=f"run {self.runs}"),))


def test_one_run_leaves_nothing_in_an_attack_for_the_next():
    attack = Remembering()
    report = auditor.audit(
        Net(), worlds.few(), attacks={"a": attack},
        defenses={"noise": GalleryNoise(epsilon=300)}, **QUIET,
    )  # fmt: skip
    assert attack.runs == 0
    assert {report[f"{s}/a/top1"].note for s in ("none", "noise")} == {"run 1"}


def test_a_folder_is_kept_and_replaced_only_when_asked(tmp_path):
    given = {"attacks": [NearestPicture()], "controls": False, "out": tmp_path / "out", **QUIET}
    first = auditor.audit(Net(), worlds.few(), **given)
    with pytest.raises(UsageError, match="earlier run"):
        auditor.audit(Net(), worlds.few(), **given)
    again = auditor.audit(Net(), worlds.few(), overwrite=True, **given)
    assert again.record == first.record
    assert dumps(auditor.Report.load(tmp_path / "out").record) == dumps(first.record)
    again.close()
    assert (tmp_path / "out" / "report.json").is_file()
    assert "auditor.audit" in (tmp_path / "out" / "run.json").read_text()


REFUSED = [
    ({"attacks": "quik"}, UsageError, "did you mean 'quick'"),
    ({"attacks": []}, UsageError, "no attacks"),
    ({"attacks": [NearestPicture]}, UsageError, "is a class; give an instance"),
    ({"attacks": [NearestPicture(), NearestPicture()]}, UsageError, "two are called"),
    ({"attacks": {"a/b": NearestPicture()}}, UsageError, "contains a slash"),
    ({"attacks": [GalleryNoise(epsilon=1)]}, UsageError, "no method 'run'"),
    ({"attacks": {"a": (part for part in "ab")}}, UsageError, "no method 'run'"),
    ({"defenses": {"none": GalleryNoise(epsilon=1)}}, UsageError, "taken"),
    ({"defenses": {"x": []}}, UsageError, "one defense or more"),
    ({"defenses": {"x": NearestPicture()}}, UsageError, "no method 'apply'"),
    ({"gates": [auditor.Gate(address="x/y/z", limit=1)]}, UsageError, "matches nothing"),
    ({"judges": {"target": Net()}}, UsageError, "taken by the audited model"),
    ({"settings": {"seed": 1}}, UsageError, "separate argument"),
    ({"settings": {"forse": True}}, UsageError, "did you mean 'force'"),
    ({"seed": -1}, UsageError, "seed"),
    ({"budget": [2]}, UsageError, "budget"),
    ({"data": None}, UsageError, "data is a NoneType"),
    ({"model": None}, UsageError, "the model is a NoneType"),
    ({"model": "net.pt", "card": 3}, UsageError, "card"),
    ({"out": __file__}, UsageError, "is a file"),
    ({"device": "tpu"}, UsageError, "device"),
    ({"card": "torchried"}, UsageError, "did you mean 'torchreid'"),
    ({"arch": "osnet_x0_25"}, UsageError, "leave out arch"),
    ({"data": "nowhere"}, DataError, "nowhere"),
    ({"model": "nothing.pt"}, ModelError, "nothing.pt"),
    ({"model": worlds.OneNumber()}, ModelError, "output of shape"),
    ({"out": "/proc/none"}, EnvironmentUnmetError, "cannot write"),
]


@pytest.mark.parametrize(("changed", "error", "message"), REFUSED)
def test_what_cannot_be_audited(changed, error, message):
    given = {"model": Net(), "data": worlds.few(), "attacks": [NearestPicture()], **QUIET}
    with pytest.raises(error, match=message):
        auditor.audit(**{**given, **changed})


@dataclass(frozen=True, kw_only=True)
class Interrupting:
    """Somebody presses Ctrl-C while it runs."""

    def run(self, target, ctx):
        """See `auditor.types.Attack`."""
        raise KeyboardInterrupt


def test_what_was_finished_before_an_interruption_is_kept(tmp_path):
    attacks = [NearestPicture(), Interrupting()]
    given = {"attacks": attacks, "controls": False, "out": tmp_path, **QUIET}
    with pytest.raises(KeyboardInterrupt):
        auditor.audit(Net(), worlds.few(), **given)
    kept = auditor.Report.load(tmp_path)
    assert not kept.record.complete
    assert "interrupted" in repr(kept)
    assert kept["none/nearest_picture/top1"].n == 8
    assert kept.judge([]).outcome == "inconclusive"


def test_an_interrupted_audit_is_continued_when_asked(tmp_path):
    save_world(worlds.few(), tmp_path / "people")
    people, cut = auditor.open_dataset(tmp_path / "people"), tmp_path / "cut"
    given = {"controls": False, "seed": 3, "out": cut, "resume": True, **QUIET}
    attacks = {"a": NearestPicture(), "b": Interrupting()}
    with pytest.raises(KeyboardInterrupt):
        auditor.audit(Net(), people, attacks=attacks, **given)
    (first,) = (cut / "steps").glob("*none-a.json")
    written = first.stat().st_mtime_ns
    attacks["b"] = NearestPicture(cosine=False)
    resumed = auditor.audit(Net(), people, attacks=attacks, **given)
    assert first.stat().st_mtime_ns == written
    anew = {**given, "out": tmp_path / "whole", "resume": False}
    assert dumps(auditor.audit(Net(), people, attacks=attacks, **anew).record) == dumps(
        resumed.record
    )
    with pytest.raises(UsageError, match="seed was 3 and is 4"):
        auditor.audit(Net(), people, attacks=attacks, **{**given, "seed": 4})


class Undeclared:
    """An attack whose settings are not in fields."""

    def __init__(self, setting=1):
        self.setting = setting

    def run(self, target, ctx):
        """See `auditor.types.Attack`."""


UNRECOGNISED = [
    ({"out": None}, "nothing to continue"),
    ({"overwrite": True}, "give one of them"),
    ({"data": worlds.few()}, "people in memory"),
    ({"attacks": {"a": Undeclared()}}, "Undeclared cannot be told from another"),
    ({"defenses": {"scaled": Scaled(network=Net())}}, "Scaled cannot be told from another"),
]


@pytest.mark.parametrize(("changed", "message"), UNRECOGNISED)
def test_what_cannot_be_recognised_is_not_continued(changed, message, tmp_path):
    given = {"data": tmp_path, "attacks": [NearestPicture()], "out": tmp_path / "out", **QUIET}
    with pytest.raises(UsageError, match=message):
        auditor.audit(Net(), resume=True, **{**given, **changed})


@checked_dataclass
class JudgesAnswer:
    """Measures how far a judge's features reach."""

    judge: JudgeLabel

    def run(self, target, ctx):
        """See `auditor.types.Attack`."""
        query = target.data.query
        there = features_of(ctx.judges[self.judge], query, ctx).isfinite().all(1)
        return AttackResult((measure.rate("answered", there, query.pids, chance=0.0),))


def test_an_attack_may_count_on_a_judge_in_memory():
    given = {"attacks": {"a": JudgesAnswer(judge="mine")}, "controls": False, **QUIET}
    record = auditor.audit(Net(), worlds.few(), judges={"mine": Net()}, **given).record
    assert record.scenarios[0].findings[0].measurements[0].value == 1
    with pytest.raises(UsageError, match="'mine', which is not under judges; did you mean 'mind'"):
        auditor.audit(Net(), worlds.few(), judges={"mind": Net()}, **given)
    target = auditor.Target(auditor.open_model(Net(), card=CARD).extractor, worlds.few())
    attack, judges = given["attacks"]["a"], {"mine": target.extractor}
    assert auditor.evaluate(attack, target, judges=judges, progress=False).status == "done"


def test_an_attack_that_cannot_be_copied_is_refused():
    @dataclass(frozen=True)
    class Open:
        file: object

        def run(self, target, ctx):
            """Never run."""

    with Path(__file__).open() as file, pytest.raises(UsageError, match="cannot be copied"):
        auditor.audit(Net(), worlds.few(), attacks=[Open(file)], **QUIET)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there():
    with pytest.raises(EnvironmentUnmetError, match="no GPU"):
        auditor.audit(Net(), worlds.few(), device="cuda", **QUIET)
