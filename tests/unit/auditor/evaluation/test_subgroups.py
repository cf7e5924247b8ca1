"""A headline by attribute value: by hand, against scipy, and what is too small to be shown."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from auditor.evaluation.subgroups import gaps, subgroups
from auditor.metrics import measure
from auditor.report import SMALLEST_GROUP, Measurement
from auditor.statistics.intervals import rate_interval
from auditor.types import MISSING, Split
from tests.records import measured

IMAGES = 3


def world(**columns: list[int]) -> SimpleNamespace:
    """People 1, 2, … of three gallery images and one query image, with a code per person."""
    people = len(next(iter(columns.values())))
    pids = torch.arange(1, people + 1)

    def split(times: int) -> Split:
        rows = pids.repeat_interleave(times)
        codes = {n: torch.tensor(c).repeat_interleave(times) for n, c in columns.items()}
        return Split(range(len(rows)), rows, torch.zeros_like(rows), codes)

    values = {name: ("no", "yes", "maybe")[: max(c) + 1] for name, c in columns.items()}
    return SimpleNamespace(query=split(1), gallery=split(IMAGES), attribute_values=values)


def headline(rates: list[float], seed: int = 0) -> Measurement:
    """Hits on images of people 1, 2, … drawn at the given rates."""
    rng = np.random.default_rng(seed)
    hits = torch.from_numpy(rng.random((len(rates), IMAGES)) < np.array(rates)[:, None])
    pids = torch.arange(1, len(rates) + 1).repeat_interleave(IMAGES)
    return measure.rate("top1", hits.flatten().double(), pids, chance=0.1)


class TestSubgroups:
    def test_each_value_is_the_rate_among_its_people(self):
        codes = [0] * 30 + [1] * 40
        found = headline([0.2] * 30 + [0.9] * 40)
        no, yes = subgroups(found, world(hat=codes))
        assert (no.attribute, no.value, yes.value) == ("hat", "no", "yes")
        mine = {pid: found.persons[pid] for pid in map(str, range(31, 71))}
        assert yes.measurement.metric == "top1@hat=yes"
        assert yes.measurement.value == pytest.approx(sum(h for h, _ in mine.values()) / 120)
        assert (yes.measurement.low, yes.measurement.high) == pytest.approx(rate_interval(mine))
        assert (no.measurement.n, yes.measurement.n, yes.measurement.chance) == (30, 40, 0.1)

    def test_the_parts_add_up_to_the_whole(self):
        found = headline([0.5] * 90)
        groups = subgroups(found, world(bag=[n % 3 for n in range(90)]))
        total = sum(g.measurement.value * g.measurement.n for g in groups)
        assert total / 90 == pytest.approx(found.value)

    def test_a_small_group_is_hidden_and_with_it_the_one_that_would_give_it_away(self):
        sizes = {0: SMALLEST_GROUP - 1, 1: 30, 2: 50}
        codes = [code for code, size in sizes.items() for _ in range(size)]
        shown = {g.value: g.measurement for g in subgroups(headline([0.5] * 99), world(hat=codes))}
        assert shown["no"] is None
        assert shown["yes"] is None
        assert shown["maybe"].n == 50

    def test_two_small_groups_hide_each_other(self):
        codes = [0] * 5 + [1] * 6 + [2] * 40
        shown = [g.measurement for g in subgroups(headline([0.5] * 51), world(hat=codes))]
        assert [m is None for m in shown] == [True, True, False]

    def test_a_group_of_just_enough_people_is_shown(self):
        codes = [0] * SMALLEST_GROUP + [1] * SMALLEST_GROUP
        assert all(g.measurement for g in subgroups(headline([0.5] * 40), world(hat=codes)))

    def test_missing_codes_are_nobodys_and_the_majority_is_a_persons(self):
        data = world(hat=[0] * 25 + [1] * 25)
        data.gallery.attributes["hat"][0] = 1  # one image of four of the first person
        data.gallery.attributes["hat"][IMAGES * 25 :] = MISSING
        data.query.attributes["hat"][25:30] = MISSING
        no, yes = subgroups(headline([0.5] * 50), data)
        assert (no.measurement.n, yes.measurement.n) == (25, 20)

    def test_a_headline_without_persons_has_none(self):
        data = world(hat=[0, 1] * 30)
        assert subgroups(measured("mean_f1", 0.5), data) == ()
        assert gaps(measured("mean_f1", 0.5), data) == ()

    def test_people_who_were_not_attacked_do_not_count(self):
        data = world(hat=[0, 1] * 30)
        found = headline([0.5] * 40)
        assert [g.measurement.n for g in subgroups(found, data)] == [20, 20]


class TestGaps:
    def test_a_real_gap_is_found_and_said_in_the_right_direction(self):
        codes = [0] * 40 + [1] * 40
        (gap,) = gaps(headline([0.2] * 40 + [0.8] * 40), world(hat=codes))
        assert (gap.attribute, gap.higher, gap.lower) == ("hat", "yes", "no")
        assert gap.difference > 0.4
        assert gap.p == gap.p_adjusted == pytest.approx(1 / 2000)

    def test_many_attributes_are_corrected_and_the_surest_comes_first(self):
        rng = np.random.default_rng(0)
        noise = {f"a{n}": rng.integers(0, 2, 80).tolist() for n in range(5)}
        found = gaps(headline([0.2] * 40 + [0.8] * 40), world(hat=[0] * 40 + [1] * 40, **noise))
        assert found[0].attribute == "hat"
        assert found[0].p_adjusted == pytest.approx(6 * found[0].p)
        assert all(gap.p <= gap.p_adjusted for gap in found)

    def test_the_same_p_as_a_permutation_by_hand(self):
        codes = [n % 2 for n in range(60)]
        measurement = headline([0.5] * 60, seed=3)
        (gap,) = gaps(measurement, world(hat=codes))
        sums = np.array([hits for hits, _ in measurement.persons.values()])
        rng, draws, wider = np.random.default_rng(1), 4000, 0
        for _ in range(draws):
            dealt = rng.permutation(codes)
            spread = abs(sums[dealt == 1].mean() - sums[dealt == 0].mean()) / IMAGES
            wider += spread >= gap.difference - 1e-9
        assert gap.p == pytest.approx(wider / draws, abs=0.04)

    def test_a_hidden_group_is_not_compared(self):
        assert gaps(headline([0.5] * 50), world(hat=[0] * 45 + [1] * 5)) == ()
