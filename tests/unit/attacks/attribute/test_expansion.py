"""Attributes that show in no single coordinate, or only faintly, and none where none are."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from attacks.attribute import AttributeExpansion, AttributeLogistic
from attacks.learners.expansion import Expansion, _chance_of
from auditor.types import ReIDDataset, RunContext, Target
from tests.unit.attacks.identity.test_rungs import Table, split

ATTACKED, AUXILIARY, IMAGES = 60, 120, 6
ROWS = (ATTACKED + AUXILIARY) * IMAGES


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(width, seed):
    return torch.randn(ROWS, width, generator=generator(seed))


def tall(share=0.5):
    people = torch.rand(ATTACKED + AUXILIARY, generator=generator(1)) < share
    return people.long().repeat_interleave(IMAGES)


def world(rows, label):
    pids = torch.arange(1, ATTACKED + AUXILIARY + 1).repeat_interleave(IMAGES)
    cut = ATTACKED * IMAGES
    gallery = split(0, pids[:cut], tall=label[:cut])
    other = split(cut, pids[cut:], tall=label[cut:])
    values = {"tall": ("no", "yes")}
    data = ReIDDataset("table", other, gallery, gallery, other, attribute_values=values)
    return Target(Table(rows), data)


def turned(rows):
    width = rows.shape[1]
    return rows @ torch.linalg.qr(torch.randn(width, width, generator=generator(9))).Q


def hidden(kind, label):
    """Features that tell ``label`` in one way alone."""
    sign = 2.0 * label[:, None] - 1
    other = noise(8, 2)
    match kind:
        case "product":
            first = noise(1, 3)
            return torch.cat([other, first, sign * first + 0.3 * noise(1, 4)], 1)
        case "magnitude":
            return torch.cat([other, noise(1, 3).sign() * (2 + sign)], 1)
        case "norm":
            return torch.nn.functional.normalize(other, dim=1) * (2 + sign)
        case "faint":
            return torch.cat([other, 1e-4 * (sign + 0.5 * noise(1, 3))], 1)
        case "faint direction":
            return turned(torch.cat([other, 1e-4 * (sign + 0.5 * noise(1, 3))], 1))
    raise AssertionError(kind)


def found(attack, target):
    return next(
        m
        for m in attack.run(target, RunContext()).measurements
        if m.metric == "tall.balanced_accuracy"
    )


KINDS = ["product", "magnitude", "norm", "faint", "faint direction"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_linear_rung_at_unit_length_misses_is_found(kind):
    label = tall()
    target = world(hidden(kind, label), label)
    assert found(AttributeLogistic(neighbours=0), target).value < 0.65
    assert found(AttributeExpansion(), target).low > 0.8


def test_where_there_is_nothing_nothing_is_found():
    measured = found(AttributeExpansion(), world(noise(40, 5), tall()))
    assert measured.low <= 0.5 <= measured.high


def test_a_rare_value_is_found_and_missing_labels_do_no_harm():
    label = tall(0.4)
    target = world(hidden("product", label), label)
    data = target.data
    column = data.auxiliary.attributes["tall"].clone()
    column[::3] = -1
    other = replace(data.auxiliary, attributes={"tall": column})
    target = replace(target, data=replace(data, auxiliary=other, train=other))
    assert found(AttributeExpansion(), target).low > 0.7


def test_columns_that_tell_nothing_are_left_out_but_coordinates_stay():
    rows, label = noise(12, 6), tall()
    pids = torch.arange(ROWS) // IMAGES
    expansion = Expansion.of_attributes(rows, pids, label[:, None])
    assert expansion.kept.tolist() == list(range(12))


def test_the_chance_is_that_of_an_f_test_on_means_over_people():
    columns, label = noise(3, 7), tall()
    pids = torch.arange(ROWS) // IMAGES
    means = columns.double().reshape(-1, IMAGES, 3).mean(1).numpy()
    one = label[::IMAGES].numpy()
    wanted = stats.f_oneway(means[one == 0], means[one == 1]).pvalue
    assert _chance_of(columns, pids, label).numpy() == pytest.approx(wanted)
