"""What follows from all findings together: scores are made from the strongest rungs."""

from dataclasses import replace

import pytest

from auditor.certification.proving import Controls
from auditor.config import AuditConfig
from auditor.evaluation.exposure import worst_case
from auditor.evaluation.utility import Utility
from auditor.pipeline.assemble import assemble, ground_certificates
from auditor.pipeline.journal import controls_of
from auditor.report import AuditReport, Finding, Measurement, PowerOutcome, Scenario
from tests.records import certificate, inversion, persons

CONFIG = AuditConfig.model_validate(
    {"attacks": {"inversion": {}, "mse_decoder": {}}, "defenses": {"dp_gallery": {}}}
)


def reversal(metric: str, rate: float) -> Measurement:
    return replace(persons(rate), metric=metric, chance=0.02)


def found(
    attack: str, own: float, judged: float, outcome: PowerOutcome = "shown"
) -> dict[str, object]:
    """A rung's finding and certificate: its rate by the audited model and by another judge."""
    figures = (reversal("reid_rank1", own), reversal("reid_rank1.osnet", judged))
    finding = replace(inversion(own, 0.02), attack=attack, family="inversion", measurements=figures)
    powers = tuple(certificate(m.metric, 0.02, outcome=outcome) for m in figures)
    return {"finding": finding, "power": Controls(powers=powers)}


def record(
    bare: dict, defended: dict, bare_use: float = 0.9, use: float = 0.6, bias: str = ""
) -> AuditReport:
    results: dict = {}
    for scenario, rungs, utility in (("none", bare, bare_use), ("dp_gallery", defended, use)):
        measurement = replace(persons(utility), metric="map", chance=None, worse="lower")
        reason = bias if scenario != "none" else ""
        results[f"{scenario}/utility"] = Utility(measurements=(measurement,), bias=reason)
        for attack, parts in rungs.items():
            results[f"{scenario}/{attack}"] = parts["finding"]
            results[controls_of(scenario, attack)] = parts["power"]
    return assemble(CONFIG, AuditReport(title="t", config={}), results, complete=True)


def both(
    weak: float, strong: float, outcome: PowerOutcome = "shown"
) -> dict[str, dict[str, object]]:
    return {
        "inversion": found("inversion", 0.5, weak, outcome),
        "mse_decoder": found("mse_decoder", 0.2, strong),
    }


def test_urr_is_made_once_from_the_rung_an_independent_judge_finds_strongest():
    made = record(both(0.3, 0.5), both(0.2, 0.1))
    for scenario, rate in zip(made.scenarios, (0.5, 0.2), strict=True):
        (urr,) = [score for score in scenario.scores if score.name == "urr1"]
        wanted = reversal("reid_rank1.osnet", rate).value
        assert urr.inputs["reversal"] == pytest.approx(wanted)
        assert urr.inputs["reversal_bare"] == pytest.approx(reversal("reid_rank1.osnet", 0.5).value)


@pytest.mark.parametrize(
    ("outcome", "reversed_by", "leakage"),
    [("weak", 0.9, 0.5), ("not-run", 0.9, 0.5), ("self-deceived", 0.1, 0.2)],
)
def test_a_rung_without_power_enters_the_scores_and_one_that_fools_itself_does_not(
    outcome, reversed_by, leakage
):
    made = record(both(0.9, 0.5, outcome), both(0.9, 0.1, outcome))
    bare, defended = made.scenarios
    (urr,) = [score for score in defended.scores if score.name == "urr1"]
    assert urr.inputs["reversal"] == pytest.approx(reversal("m", reversed_by).value)
    # PU takes the judge every rung has
    pu = {score.name: score for score in bare.scores}["pu_inversion"]
    assert pu.inputs["leakage.reid_rank1"] == pytest.approx(reversal("m", leakage).value)


def test_there_is_no_score_where_every_rung_fools_itself():
    fooled = {"inversion": found("inversion", 0.5, 0.4, "self-deceived")}
    pu, *others = record(fooled, fooled).scenarios[0].scores
    assert (pu.name, pu.measurement, others) == ("pu_inversion", None, [])
    assert "nothing to find" in pu.undefined


@pytest.mark.parametrize(
    ("bare", "kept"),
    [("shown", "nothing-to-find"), ("weak", "weak"), ("nothing-to-find", "weak")],
)
def test_nothing_to_find_excuses_only_an_attack_that_works_on_the_bare_target(bare, kept):
    def scenario(name, outcome):
        finding = replace(
            inversion(0.1, 0.02), powers=(certificate("reid_rank1", 0.02, outcome=outcome),)
        )
        return Scenario(defense=name, findings=(finding,))

    made = ground_certificates(scenario("dp_gallery", "nothing-to-find"), scenario("none", bare))
    power = made.findings[0].power()
    assert power.outcome == kept
    assert ("bare target" in power.reason) == (kept == "weak")


def test_biased_utility_is_no_point_of_the_frontier():
    plain = record(both(0.3, 0.5), both(0.2, 0.1))
    biased = record(both(0.3, 0.5), both(0.2, 0.1), bias="the key knows")
    assert {name.partition(".")[0] for name in plain.scores[0].inputs} == {"none", "dp_gallery"}
    assert biased.scores[0].measurement is None
    assert [s.name for s in biased.scenarios[1].scores] == [
        s.name for s in plain.scenarios[1].scores
    ]


def test_who_is_most_exposed_has_one_pseudonym_in_every_scenario():
    rungs = both(0.3, 0.5)
    for parts in rungs.values():
        finding = parts["finding"]
        assert isinstance(finding, Finding)
        parts["finding"] = replace(finding, worst_case=worst_case(finding.measurements[0]))
    made = record(rungs, rungs)
    names = [[person.pseudonym for person in s.exposure.most] for s in made.scenarios]
    assert names[0] == names[1]
    assert made.scenarios[0].exposure.attacks == ("inversion", "mse_decoder")
