"""Who is worst off, by hand."""

from dataclasses import replace

import pytest
import torch

from auditor.evaluation.exposure import exposure, worst_case
from auditor.metrics import measure
from auditor.report import Finding, Measurement, PowerOutcome
from auditor.statistics.intervals import proportion
from tests.records import certificate, identity, measured

IMAGES = 4


def rates(*hits: int, metric: str = "top1") -> Measurement:
    """A headline on people 1, 2, … with so many of four images hit."""
    outcome = torch.tensor([[n < count for n in range(IMAGES)] for count in hits]).flatten()
    pids = torch.arange(1, len(hits) + 1).repeat_interleave(IMAGES)
    return measure.rate(metric, outcome, pids, chance=0.01)


def found(attack: str, *hits: int, outcome: PowerOutcome = "shown") -> Finding:
    headline = rates(*hits)
    return replace(
        identity(0.5, 0.6),
        attack=attack,
        measurements=(headline,),
        worst_case=worst_case(headline),
        powers=(certificate("top1", 0.01, outcome=outcome),),
    )


class TestWorstCase:
    def test_by_hand(self):
        fully, worst = worst_case(rates(*[4] * 3 + [2] * 20 + [0] * 17))
        assert (fully.metric, fully.value) == ("top1.fully_exposed", 3 / 40)
        assert (fully.low, fully.high) == pytest.approx(proportion(3, 40))
        # the 5% most exposed of forty are two people, and three are hit on every image
        assert (worst.metric, worst.value) == ("top1.worst_5_percent", 1.0)
        assert worst_case(rates(*[3] + [2] * 20 + [0] * 19))[1].value == (0.75 + 0.5) / 2

    @pytest.mark.parametrize("people", [2, 5, 19])
    def test_few_people_without_a_hit_say_nothing_of_the_worst_off(self, people):
        # among so few, somebody unseen may well be one of twenty
        worst = worst_case(rates(*[0] * people))[1]
        assert (worst.value, worst.low, worst.high) == (0, 0, 1)

    def test_many_people_without_a_hit_leave_the_rule_of_three(self):
        worst = worst_case(rates(*[0] * 400))[1]
        assert worst.high == pytest.approx(proportion(0, 400)[1] / 0.05, abs=0.02)

    def test_whoever_straddles_the_border_counts_in_part(self):
        # 5% of thirty people are one and a half
        worst = worst_case(rates(*[4] + [2] + [0] * 28))[1]
        assert worst.value == pytest.approx((1 + 0.5 / 2) / 1.5)

    def test_intervals_hold_the_value_and_count_people(self):
        for m in worst_case(rates(*[1, 0, 3, 2, 4] * 6)):
            assert m.low <= m.value <= m.high
            assert m.n == 30

    @pytest.mark.parametrize(
        "headline",
        [
            measured("mean_f1", 0.5),  # no persons
            rates(3),  # one person
            replace(rates(1, 2, 3), unit="distance"),
            replace(rates(1, 2, 3), worse="lower"),
        ],
    )
    def test_what_does_not_count_hits_per_person_has_none(self, headline):
        assert worst_case(headline) == ()

    def test_distractors_are_nobody(self):
        headline = rates(4, 0)
        headline = replace(headline, persons={"0": (4.0, 4.0), **headline.persons})
        assert worst_case(headline)[0].n == 2


class TestExposure:
    def test_each_person_counts_by_the_attack_that_is_worst_for_them(self):
        both = exposure([found("a", 4, 0, 1), found("b", 1, 2, 0)])
        assert (both.people, both.attacks) == (3, ("a", "b"))
        assert both.fully.value == pytest.approx(1 / 3)
        (most,) = both.most
        assert most.pseudonym == "1"
        assert (most.leakage, most.attack, most.images) == (1.0, "a", 4)
        assert most.average == pytest.approx((1 + 0.25) / 2)

    @pytest.mark.parametrize(("people", "listed"), [(5, 1), (100, 1), (101, 2), (3000, 20)])
    def test_one_percent_is_listed_at_least_one_and_at_most_twenty(self, people, listed):
        shown = exposure([found("a", *[n % 3 for n in range(people)])])
        assert len(shown.most) == listed
        assert shown.tied == sum(n % 3 == 2 for n in range(people))
        leaks = [row.leakage for row in shown.most]
        assert leaks == sorted(leaks, reverse=True)

    def test_an_attack_that_fools_itself_exposes_nobody(self):
        fooled = found("a", 4, 4, outcome="self-deceived")
        assert exposure([fooled]) is None
        with_both = exposure([fooled, found("b", 0, 1)])
        assert with_both.attacks == ("b",)
        assert with_both.most[0].leakage == 0.25

    def test_what_an_attack_without_power_found_it_found(self):
        assert exposure([found("a", 4, 4, outcome="weak")]).most[0].leakage == 1.0

    def test_people_need_not_be_the_same_for_every_attack(self):
        fewer = found("b", 4)
        fewer = replace(fewer, worst_case=found("b", 4, 4).worst_case)
        assert exposure([found("a", 1, 2, 3), fewer]).people == 3
