"""The plan of a run, and how results, missing and crashed ones too, become a record."""

import dataclasses
import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from auditor import plugins
from auditor.artifacts import personal
from auditor.config import AuditConfig
from auditor.errors import AuditError, EnvironmentUnmetError, ModelError
from auditor.gates import Gate, check, overall
from auditor.models.prior import WEIGHTS
from auditor.pipeline import steps
from auditor.pipeline.assemble import assemble
from auditor.pipeline.plan import plan_steps, run_audit
from auditor.pipeline.steps import World
from auditor.report import AuditReport, ProbeCheck, loads
from tests import worlds
from tests.worlds import people

GOOD = (ProbeCheck(name="finite", outcome="pass", detail="fine"),)
BAD = (ProbeCheck(name="finite", outcome="fail", detail="the features are NaN; check the export"),)


class Silent:
    """A display that shows nothing."""

    @contextmanager
    def step(self, name):
        yield lambda fraction, detail="": None

    def keep(self, name):
        pass


def world(tmp_path, probe=GOOD, **config):
    settings = {
        "attacks": {"identity": worlds.QUICK["identity"]},
        "defenses": {"dp_gallery": {"epsilon": 300.0}},
        **config,
    }
    resolved = AuditConfig.model_validate(settings)
    return World(
        config=resolved,
        target=worlds.leaky(),
        ctx=worlds.context(tmp_path),
        distance="cosine",
        probe=lambda ctx: probe,
        head=AuditReport(title="t", config=resolved.to_record()),
    )


def test_the_plan_probes_first_and_certifies_before_it_attacks(tmp_path):
    names = [step.name for step in plan_steps(world(tmp_path))]
    assert names == [
        "probe",
        "none/utility",
        "controls/identity",
        "none/identity",
        "dp_gallery/utility",
        "dp_gallery/identity/controls",
        "dp_gallery/identity",
    ]
    bare = plan_steps(world(tmp_path, controls=False))
    assert "controls/identity" not in [step.name for step in bare]


def test_steps_depend_on_what_the_files_contain_that_their_plug_ins_name(tmp_path):
    prior, points = tmp_path / "prior.safetensors", tmp_path / "points.csv"
    prior.write_bytes(WEIGHTS.read_bytes())
    points.write_text("one")
    audited = world(
        tmp_path,
        attacks={"prior_inversion": {"prior": str(prior)}, "identity_lda": {}},
        defenses={"head": {"use": "remove_head", "keypoints": str(points)}},
    )

    def depend():
        return {step.name: step.depends_on() for step in plan_steps(audited)}

    before = depend()
    prior.write_bytes(WEIGHTS.read_bytes() + b"another")
    assert {name for name, now in depend().items() if now != before[name]} == {
        *("controls/prior_inversion", "none/prior_inversion"),
        *("head/prior_inversion/controls", "head/prior_inversion"),
    }
    before = depend()
    points.write_text("the other")
    changed = {name for name, now in depend().items() if now != before[name]}
    assert changed == {name for name in before if name.startswith("head/")}


@pytest.mark.parametrize("column", ["pids", "sleeves", "times"])
def test_every_step_depends_on_what_is_known_of_the_pictures(column, tmp_path):
    audited = world(tmp_path)
    query = audited.target.data.query
    if column == "sleeves":
        other = replace(query, attributes=query.attributes | {column: query.attributes[column] * 0})
    elif column == "times":
        other = replace(query, times=torch.arange(len(query)).double())
    else:
        other = replace(query, pids=query.pids.flip(0))
    data = replace(audited.target.data, query=other)
    relabelled = replace(audited, target=replace(audited.target, data=data))
    before, now = (plan_steps(one) for one in (audited, relabelled))
    kept = [a.name for a, b in zip(before, now, strict=True) if a.depends_on() == b.depends_on()]
    assert kept == []
    again = zip(before, plan_steps(audited), strict=True)
    assert all(a.depends_on() == b.depends_on() for a, b in again)


def test_budget_curves_follow_their_attack_on_the_scenarios_that_were_named(tmp_path):
    settings = {"budget": [0.5], "budget_scenarios": ["dp_gallery"]}
    names = [step.name for step in plan_steps(world(tmp_path, **settings))]
    assert names[-2:] == ["dp_gallery/identity", "dp_gallery/identity/budget"]
    assert "none/identity/budget" not in names
    names = [step.name for step in plan_steps(world(tmp_path, budget=[0.5]))]
    assert names[2:5] == ["controls/identity", "none/identity", "none/identity/budget"]


def test_a_run_with_a_budget_says_what_more_of_it_would_do(tmp_path):
    attacks = {name: worlds.QUICK[name] for name in ("identity", "attribute")}
    record = run_audit(
        world(tmp_path, attacks=attacks, budget=[0.2], defenses={}, controls=False), Silent()
    )
    identity, attribute = record.scenarios[0].findings
    # the names come from the gallery: other people's pictures do not help
    assert [curve.name for curve in identity.curves] == ["training"]
    assert any("top1 does not depend on auxiliary people" in note for note in identity.notes)
    people, training = attribute.curves
    assert (people.metric, people.x) == ("mean_balanced_accuracy", "auxiliary people")
    assert [point[0] for point in people.points] == [20, 100]
    assert people.points[-1][1] == attribute.measurements[0].value
    assert training.points[0][0] == 0.2 * attacks["attribute"]["epochs"]
    assert all(curve.statement for curve in (people, training))
    assert list((tmp_path / "personal" / "none").iterdir())
    assert sorted(p.name for p in (tmp_path / "personal").iterdir()) == ["none", "pseudonyms.csv"]


def test_an_interrupted_budget_leaves_the_finding_and_a_note(tmp_path):
    audited = world(tmp_path, budget=[0.5], defenses={})
    steps = {step.name: step for step in plan_steps(audited)}
    names = ("probe", "none/utility", "controls/identity", "none/identity")
    results = {name: steps[name].work(lambda f, d="": None) for name in names}
    (finding,) = (
        assemble(audited.config, audited.head, results, complete=False).scenarios[0].findings
    )
    assert finding.status == "done"
    assert finding.curves == ()
    assert "interrupted" in finding.notes[-1]


def test_the_strongest_rung_goes_into_the_scores_and_worst_cases_are_measured(tmp_path):
    attacks = {"identity": worlds.QUICK["identity"], "identity_lda": {}}
    record = run_audit(world(tmp_path, attacks=attacks, defenses={}), Silent())
    bare = record.scenarios[0]
    values = {f.attack: f.measurements[0].value for f in bare.findings}
    ladder = bare.ladders[0]
    assert ladder.name == "identity.top1"
    assert ladder.measurement.value == max(values.values())
    assert [s.name for s in bare.scores] == ["pu_identity"]
    assert bare.scores[0].inputs["leakage.top1"] == ladder.measurement.value
    addresses = [address for address, _ in record.measurements()]
    assert "none/ladder/identity.top1" in addresses
    assert "none/identity/top1.fully_exposed" in addresses
    assert len(addresses) == len(set(addresses))
    assert bare.exposure.people == 24
    # twenty-four people in two groups or more leave a group of fewer than twenty
    assert {group.measurement for group in bare.findings[0].subgroups} == {None}


def test_a_model_that_fails_the_probe_is_not_attacked(tmp_path):
    with pytest.raises(ModelError, match="check the export"):
        run_audit(world(tmp_path, BAD), Silent())
    assert not (tmp_path / "report.json").exists()
    forced = run_audit(world(tmp_path, BAD, force=True, defenses={}), Silent())
    assert forced.probe[0].outcome == "fail"


def test_no_step_after_a_lost_gpu_is_taken_for_an_attack_that_failed(tmp_path, monkeypatch):
    audited = world(tmp_path, controls=False, defenses={})
    lost = []

    def crash(*_):
        lost.append(True)
        raise RuntimeError("CUDA error: unspecified launch failure")

    def require_device(device):
        if lost:
            raise EnvironmentUnmetError(f"{device} does not answer any more")

    monkeypatch.setattr(steps, "run_contained", crash)
    monkeypatch.setattr(steps, "require_device", require_device)
    with pytest.raises(EnvironmentUnmetError, match="cpu does not answer"):
        run_audit(audited, Silent())
    kept = {path.stem for path in (tmp_path / "steps").iterdir()}
    assert len(kept) == 2
    lost.clear()
    monkeypatch.undo()
    assert run_audit(audited, Silent(), resume=True).complete


def test_a_whole_run_scores_the_defense_against_the_bare_target(tmp_path):
    record = run_audit(world(tmp_path, attacks={"identity_lda": {}}), Silent())
    assert record.complete
    bare, noisy = record.scenarios
    for metric in ("top1", "top5"):
        power, behind = bare.findings[0].power(metric), noisy.findings[0].power(metric)
        assert power.shown
        assert power.adversary == "The Bayes classifier of the two-covariance model"
        # the noise is in the way of both adversaries; the null is tried once
        assert behind.reference < power.reference
        assert behind.null == power.null
    assert not noisy.findings[0].measurements[0].value > bare.findings[0].measurements[0].value
    pu = {s.name: s for s in noisy.scores}["pu_identity"]
    assert pu.inputs["leakage.top1"] == noisy.findings[0].measurements[0].value
    own = tmp_path / "personal"
    assert {p.name for p in own.iterdir()} == {"none", "dp_gallery", "pseudonyms.csv"}
    modes = {p.stat().st_mode & 0o777 for p in own.rglob("*") if p.is_file()}
    assert own.stat().st_mode & 0o077 == 0
    assert modes == {0o600}


def test_nobody_is_named_outside_the_personal_folder(tmp_path):
    record = run_audit(world(tmp_path, controls=False), Silent())
    named = personal.reveal_people(record, tmp_path)
    for stored, real in zip(record.scenarios, named.scenarios, strict=True):
        assert {m.query_id[0] for m in stored.matches} == {"P"}
        assert {int(m.query_id) for m in real.matches} <= set(people().query.pids.tolist())
        top1, real_top1 = (s.findings[0].measurements[0].persons for s in (stored, real))
        assert {name[0] for name in top1} == {"P"}
        assert sorted(top1.values()) == sorted(real_top1.values())
    for step in (tmp_path / "steps").glob("*utility*"):
        found = json.loads(step.read_text())["result"]["matches"]
        assert {match["query_id"][0] for match in found} == {"P"}


def test_pseudonyms_repeat_under_a_seed_and_differ_under_another(tmp_path):
    tables = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        audited = replace(world(tmp_path / name), ctx=worlds.context(tmp_path / name, seed))
        tables.append(audited.pseudonyms)
    assert tables[0] == tables[1] != tables[2]
    assert len(tables[0]) == 124


def test_the_deployed_ranking_and_the_rank_lists_reach_the_record(tmp_path):
    audited = world(tmp_path, ranking={"rerank": "k_reciprocal", "k1": 4}, controls=False)
    record = run_audit(audited, Silent())
    figures = dict(record.measurements())
    for scenario in record.scenarios:
        assert f"{scenario.defense}/utility/rank1_reranked" in figures
        assert len(scenario.rank_lists) == 6
        for shown in scenario.rank_lists:
            assert shown.picture.startswith(f"personal/{scenario.defense}/utility/")
            assert (tmp_path / shown.picture).is_file()
    assert loads((tmp_path / "report.json").read_bytes()) == record
    gate = Gate(address="none/utility/map_reranked", limit=0.1)
    assert [v.outcome for v in check(record, [gate])] == ["pass"]


def test_a_defense_that_cannot_be_applied_makes_its_scenario_inconclusive(tmp_path):
    # δ above one row is refused by the defense itself, once it has seen the gallery
    defenses = {"dp_gallery": {"epsilon": 1.0, "delta": 0.5}}
    record = run_audit(world(tmp_path, defenses=defenses), Silent())
    broken = record.scenarios[1]
    assert broken.status == "failed"
    assert "delta" in broken.reason
    assert broken.findings[0].status == "failed"
    gates = [Gate(address="dp_gallery/identity/top1", limit=1.0)]
    verdicts = check(record, gates)
    assert {v.outcome for v in verdicts} == {"inconclusive"}
    assert overall(record, verdicts) == "inconclusive"


def test_what_chains_begin_with_in_common_is_applied_once_and_fails_once(tmp_path, monkeypatch):
    applied = []
    apply = steps.apply_defense

    def counted(defense, target, ctx):
        applied.append(plugins.name_of("defenses", defense))
        return apply(defense, target, ctx)

    first, second = {"use": "blur", "image_size": [32, 16]}, {"use": "dp_gallery", "trials": 200}
    broken = {"use": "dp_gallery", "delta": 0.5}
    defenses = {
        "one": first,
        "two": {"chain": [first, second]},
        "twin": {"chain": [first, second]},
        "other": {"chain": [second, first]},
        "broken": {"chain": [broken, first]},
    }
    audited = world(tmp_path, defenses=defenses)
    monkeypatch.setattr(steps, "apply_defense", counted)
    one, two, twin, other = (
        audited.scenario(name, audited.ctx) for name in ("one", "two", "twin", "other")
    )
    assert applied == ["blur", "dp_gallery", "dp_gallery", "blur"]
    assert two is twin
    assert two.data is one.data
    assert other.data is not one.data
    for _ in range(2):
        with pytest.raises(AuditError, match="delta"):
            audited.scenario("broken", audited.ctx)
    assert applied.count("dp_gallery") == 3
    assert audited.scenario("none", audited.ctx) is audited.target


def test_missing_results_become_findings_that_did_not_run(tmp_path):
    audited = world(tmp_path)
    steps = {step.name: step for step in plan_steps(audited)}
    results = {name: steps[name].work(lambda f, d="": None) for name in ("probe", "none/utility")}
    record = assemble(audited.config, audited.head, results, complete=False)
    assert [s.defense for s in record.scenarios] == ["none"]
    finding = record.scenarios[0].findings[0]
    assert (finding.status, finding.powers) == ("failed", ())
    assert "interrupted" in finding.reason
    assert overall(record, []) == "inconclusive"


def test_an_attack_does_not_change_another_ones_figure(tmp_path):
    alone = run_audit(world(tmp_path / "a", defenses={}), Silent())
    attacks = {"attribute": worlds.QUICK["attribute"], "identity": worlds.QUICK["identity"]}
    both = run_audit(world(tmp_path / "b", defenses={}, attacks=attacks), Silent())
    first = dict(alone.measurements())["none/identity/top1"]
    second = dict(both.measurements())["none/identity/top1"]
    assert dataclasses.asdict(first) == dataclasses.asdict(second)
