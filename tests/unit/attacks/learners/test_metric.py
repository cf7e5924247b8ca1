"""The learned metric: what it sees that no linear probe does, and that it is fooled by nothing."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from attacks.identity import IdentityLda, IdentityMetric, IdentityPlda, IdentityTransductive
from attacks.learners.expansion import Expansion, variance_ratio
from attacks.learners.metric import Contrast, contrast_of, learn_metric
from attacks.learners.plda import Own
from attacks.linkage import Linkage, LinkageMetric, LinkagePlda
from attacks.protocol.closed_set import put_aside
from auditor.types import ReIDDataset, RunContext, Target
from tests.unit.attacks.identity.test_rungs import Table, split

PEOPLE, AUXILIARY, IMAGES, BITS = 30, 90, 6, 16


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def world(rows, release=lambda features, draws: features):
    pids = torch.arange(1, PEOPLE + AUXILIARY + 1).repeat_interleave(IMAGES)
    cut = PEOPLE * IMAGES
    gallery, other = split(0, pids[:cut]), split(cut, pids[cut:])
    gallery, other = (replace(s, camids=torch.arange(len(s)) % IMAGES) for s in (gallery, other))
    data = ReIDDataset("table", other, gallery, gallery, other)
    return Target(Table(rows), data, release=release)


def hidden(kind):
    """People whose features have the same mean, so that no linear reading tells them apart."""
    count = (PEOPLE + AUXILIARY) * IMAGES
    bits = torch.randint(2, (PEOPLE + AUXILIARY, BITS), generator=generator(1)) * 2.0 - 1
    code = bits.repeat_interleave(IMAGES, 0)
    random = torch.randint(2, (count, BITS), generator=generator(2)) * 2.0 - 1
    loose = 1 + 0.3 * torch.randn(count, BITS, generator=generator(3)).abs()
    if kind == "signs of pairs":
        rows = torch.cat([random * loose, random * code * loose], 1)
    elif kind == "magnitudes":
        rows = random * (1.5 + 0.5 * code) * loose
    elif kind == "products":
        first = torch.randn(count, BITS, generator=generator(4))
        rows = torch.cat([first, code * first + 0.2 * random], 1)
    else:
        lengths = torch.linspace(1, 4, PEOPLE + AUXILIARY)
        lengths = lengths[torch.randperm(len(lengths), generator=generator(5))]
        direction = F.normalize(torch.randn(count, BITS, generator=generator(6)), dim=1)
        return direction * lengths.repeat_interleave(IMAGES)[:, None]
    return rows[:, torch.randperm(rows.shape[1], generator=generator(7))]


@pytest.mark.parametrize("kind", ["signs of pairs", "magnitudes", "products", "norm"])
def test_what_no_linear_probe_reads_is_found(kind):
    target, ctx = world(hidden(kind)), RunContext()
    for linear in (IdentityLda(), IdentityPlda(), Linkage(), LinkagePlda()):
        blind = linear.run(target, ctx).measurements[0]
        assert blind.low <= 0.15, linear
    named = IdentityMetric(steps=0).run(target, ctx)
    linked = LinkageMetric(steps=0).run(target, ctx).measurements[0]
    assert named.measurements[0].low > 0.3
    assert linked.value > 0.25
    assert "expansion" in named.notes[-1]


def test_a_code_along_faint_directions_is_found():
    people = (PEOPLE + AUXILIARY) * IMAGES
    code = torch.randn(PEOPLE + AUXILIARY, 8, generator=generator(13)).repeat_interleave(IMAGES, 0)
    code += 0.2 * torch.randn(people, 8, generator=generator(14))
    rows = torch.cat([torch.randn(people, 24, generator=generator(15)), 1e-4 * code], 1)
    turn = torch.linalg.qr(torch.randn(32, 32, generator=generator(16))).Q
    target, ctx = world(rows @ turn), RunContext()
    assert IdentityPlda().run(target, ctx).measurements[0].low <= 0.15
    named = IdentityMetric(steps=0).run(target, ctx)
    assert named.measurements[0].low > 0.3
    assert "whitened" in named.notes[-1]


def test_it_is_found_through_a_noisy_release():
    def release(features, draws):
        return features + 0.3 * torch.randn(features.shape, generator=draws)

    found = IdentityMetric(steps=0).run(world(hidden("magnitudes"), release), RunContext())
    assert found.measurements[0].low > 0.5


def test_the_network_learns_it_too():
    target, ctx = world(hidden("products")), RunContext()
    own = Own.of(target, ctx, "test")
    metric = learn_metric(own, own.features, Contrast(steps=60), ctx, "test")
    assert set(metric.found) == {"features", "whitened", "expansion", "network"}
    assert metric.found["network"] > metric.found["features"] + 0.3


@pytest.mark.parametrize(
    "attack",
    [IdentityMetric(steps=20), LinkageMetric(steps=20), IdentityTransductive()],
    ids=lambda one: type(one).__name__,
)
def test_where_nobody_leaks_nothing_is_found(attack):
    rows = torch.randn((PEOPLE + AUXILIARY) * IMAGES, 2 * BITS, generator=generator(8))
    found = attack.run(world(rows), RunContext()).measurements[0]
    assert found.low <= found.chance


def test_an_expansion_keeps_the_pairs_that_tell_and_no_others():
    rows = torch.randn(600, 6, generator=generator(9))
    pids = torch.arange(1, 101).repeat_interleave(6)
    bit = torch.randint(2, (100,), generator=generator(10)).repeat_interleave(6) * 2.0 - 1
    rows[:, 4] = bit * rows[:, 1]
    expansion = Expansion.of(rows, rows, pids)
    assert expansion.pairs.tolist() == [[1], [4]]
    assert expansion(rows).shape == (600, len(expansion.kept))


def test_the_variance_ratio_is_that_of_scipy():
    from scipy.stats import f_oneway

    column = torch.randn(60, 1, generator=generator(11))
    pids = torch.arange(12).repeat_interleave(5)
    ratio = f_oneway(*column.reshape(12, 5).numpy()).statistic
    wanted = (ratio - 1) / (2 / 11 + 2 / 48) ** 0.5
    assert float(variance_ratio(column, pids)[0]) == pytest.approx(wanted, rel=1e-6)


def test_the_contrast_is_that_of_a_loop():
    rows = F.normalize(torch.randn(6, 4, generator=generator(12)), dim=1)
    person, total = [0, 0, 0, 1, 1, 2], 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        bottom = torch.stack([rows[i] @ rows[j] / 0.2 for j in others]).logsumexp(0)
        same = [j for j in others if person[j] == person[i]]
        if same:
            total -= float(sum(rows[i] @ rows[j] / 0.2 - bottom for j in same)) / len(same)
    found = contrast_of(rows, torch.tensor(person), 0.2)
    assert float(found) == pytest.approx(total / 6, rel=1e-5)


class TestTransductive:
    def test_entries_without_a_name_teach(self):
        """Two known entries of each person and four others, in ten dimensions of forty."""
        centres = torch.zeros(PEOPLE + AUXILIARY, 40)
        centres[:, :10] = torch.randn(PEOPLE + AUXILIARY, 10, generator=generator(13))
        rows = centres.repeat_interleave(IMAGES, 0)
        rows = rows + 0.8 * torch.randn(rows.shape, generator=generator(14))
        target, ctx = world(rows), RunContext()
        alone = IdentityPlda(train_share=0.34).run(target, ctx).measurements[0].value
        together = IdentityTransductive(train_share=0.34).run(target, ctx).measurements[0].value
        assert together > alone + 0.03

    def test_without_rounds_and_neighbours_it_is_the_model_alone(self):
        rows = torch.randn((PEOPLE + AUXILIARY) * IMAGES, 5, generator=generator(15))
        target, ctx = world(rows), RunContext()
        plain = IdentityTransductive(rounds=0, neighbours=0).run(target, ctx)
        assert plain.measurements == IdentityPlda().run(target, ctx).measurements

    def test_the_larger_half_of_each_persons_names_stays(self):
        kept = put_aside(torch.tensor([0, 1, 0, 1, 0, 2]))
        assert kept.tolist() == [True, True, True, False, False, True]
