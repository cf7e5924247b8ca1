"""Badges of certificates tell an attack that missed a leak from a control too small to show one."""

from dataclasses import replace

import pytest

from reports.content.caveats import caveats
from reports.content.certificates import certificates
from tests import records


@pytest.mark.parametrize(
    ("outcome", "badge", "caveat"),
    [
        ("weak", ("fail", "planted leak missed"), "did not pass its controls"),
        ("small-control", ("inconclusive", "control too small"), "too small a control"),
        ("nothing-to-find", ("inconclusive", "nothing to find"), "had nothing to find"),
    ],
)
def test_a_badge_says_whose_fault_it_is(outcome, badge, caveat):
    power = records.certificate("top1", 1 / 80, outcome=outcome)
    finding = replace(records.identity(0.1, 0.2), powers=(power,))
    (found,) = certificates([("none", finding)])
    assert found.badge == badge
    record = records.example_record()
    scenario = replace(record.scenarios[0], findings=(finding,))
    said = caveats(replace(record, scenarios=(scenario,)))
    assert any("none/identity" in line and caveat in line for line in said)
