"""Certificates on the page: what is the same in several scenarios is said once."""

from dataclasses import replace

from auditor.report import PowerOutcome
from reports.caveats import caveats
from reports.certificates import certificates, others
from reports.html import environment
from reports.tables import by_attack
from tests.records import certificate, example_record, identity


def member(scenario: str, outcome: PowerOutcome, found: float = 0.97):
    powers = (
        certificate("top1", 0.01, outcome=outcome, found=found),
        certificate("top5", 0.05, outcome="shown"),
    )
    return scenario, replace(identity(0.5, 0.6), powers=powers)


def test_scenarios_with_the_same_certificate_share_a_row():
    members = [member("none", "shown"), member("blur", "shown"), member("noise", "weak", 0.2)]
    first, second = certificates(members)
    assert (first.scenarios, first.everywhere) == (("none", "blur"), False)
    assert (second.scenarios, second.badge) == (("noise",), ("fail", "power not shown"))
    (other,) = others(members)
    assert (other.power.metric, other.everywhere) == ("top5", True)


def test_an_attack_that_was_not_tried_says_so():
    untried = [("none", replace(identity(0.5, 0.6), powers=()))]
    (only,) = certificates(untried)
    assert (only.power, only.badge[1], others(untried)) == (None, "not tried", [])


def test_every_outcome_has_a_badge_and_a_caveat():
    texts = set()
    for outcome in ("shown", "weak", "self-deceived", "nothing-to-find", "not-run"):
        (found,) = certificates([member("none", outcome)])
        report = example_record()
        finding = replace(member("none", outcome)[1], powers=(found.power,))
        scenario = replace(report.scenarios[0], findings=(finding,))
        told = [t for t in caveats(replace(report, scenarios=(scenario,))) if "none/identity" in t]
        assert bool(told) == (outcome != "shown")
        texts.update([found.badge[1], *told])
    assert len(texts) == 5 + 3  # weak and not run read alike


def test_the_page_states_efficiency_and_reference():
    template = environment().get_template("power.html.j2")
    parts = environment().get_template("parts.html.j2").module
    page = template.render(attacks=by_attack(example_record()), parts=parts)
    assert "An efficiency of 50.0% is required. Reference: Certainty." in page
    assert "<strong>97.0%</strong>" in page
