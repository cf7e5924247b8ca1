"""What a release may not do: lose a row, or give what cannot be searched."""

import dataclasses
import math

import pytest
import torch

from auditor.embedding import stored_gallery
from auditor.errors import ModelError
from auditor.evaluation.utility import utility
from auditor.gates import Gate, check, overall
from auditor.pipeline.plan import run_audit
from auditor.releasing import (
    Composed,
    as_is,
    check_release,
    computes_anywhere,
    draw_release,
    release_blocks,
    shared_rows,
    streams,
)
from auditor.row_blocks import BLOCK
from auditor.types import RunContext
from tests import worlds
from tests.unit.auditor.pipeline.test_plan import Silent, world


def spoiled(value):
    """A release that gives ``value`` somewhere in one row."""

    def release(features, generator):
        stored = features.clone()
        stored[1, 2] = value
        return stored

    return release


ODD = {
    "NaN": (spoiled(math.nan), r"NaN or infinity in 1 of \d+ rows"),
    "infinity": (spoiled(math.inf), r"NaN or infinity in 1 of \d+ rows"),
    "minus infinity": (spoiled(-math.inf), r"NaN or infinity in 1 of \d+ rows"),
    "rows lost": (lambda features, generator: features[1:], "a row of real numbers for each"),
    "columns lost": (lambda features, generator: features[:, 1:], "a row of real numbers"),
    "one number": (lambda features, generator: features.mean(), "a row of real numbers"),
    "codes": (lambda features, generator: features.round().long(), "torch.int64"),
    "nothing": (lambda features, generator: None, "gave NoneType"),
    "an array": (lambda features, generator: features.numpy(), "gave ndarray"),
}


@pytest.mark.parametrize(("release", "message"), ODD.values(), ids=ODD.keys())
def test_what_cannot_be_stored_and_searched_is_refused_wherever_it_is_drawn(release, message):
    target = dataclasses.replace(worlds.blind(), release=release)
    with pytest.raises(ModelError, match=message):
        stored_gallery(target, RunContext())
    with pytest.raises(ModelError, match=message):
        target.release(torch.ones(3, 5), torch.Generator())


def test_a_release_is_looked_at_once_and_stays_the_same_one():
    target = dataclasses.replace(worlds.blind(), release=spoiled(1.0))
    assert dataclasses.replace(target, notes=("seen",)).release is target.release
    assert check_release(target.release) is target.release
    assert worlds.blind().release is as_is


class Anywhere:
    any_device = True

    def __call__(self, features, generator):
        return features + torch.rand(features.shape, generator=generator).to(features)


def on_cpu(features, generator):
    assert features.device.type == "cpu"
    return features + torch.rand(features.shape, generator=generator)


class TestFreshDraws:
    def test_what_computes_anywhere_never_leaves_the_device(self):
        # nothing can be copied out of the meta device
        away = torch.empty(3, 5, device="meta")
        assert draw_release(as_is, away, torch.Generator()) is away
        for release in (Anywhere(), Composed(as_is, Anywhere()), Composed(Anywhere(), Anywhere())):
            assert draw_release(release, away, torch.Generator()).device.type == "meta"

    def test_what_does_not_say_so_is_given_a_copy_on_the_cpu(self):
        with pytest.raises(NotImplementedError, match="meta"):
            draw_release(on_cpu, torch.empty(3, 5, device="meta"), torch.Generator())
        for release in (on_cpu, Composed(Anywhere(), on_cpu), check_release(on_cpu)):
            assert not computes_anywhere(release)
        assert computes_anywhere(check_release(Anywhere()))

    def test_the_draw_is_the_release_s_own(self):
        rows = torch.ones(3, 5)
        for release in (as_is, on_cpu, Anywhere(), check_release(on_cpu)):
            first, again = (torch.Generator().manual_seed(1) for _ in range(2))
            assert torch.equal(draw_release(release, rows, first), release(rows, again))


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneBadRow:
    """Hides everything in a perfect release, but for one value that is no number."""

    def apply(self, target, ctx):
        return dataclasses.replace(target, release=spoiled(math.nan))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant:
    """Stores the same row for everybody."""

    def apply(self, target, ctx):
        return dataclasses.replace(target, release=lambda features, draw: features * 0 + 1)


def test_one_bad_value_fails_the_scenario_and_every_finding_and_passes_no_gate(tmp_path):
    attacks = {
        name: worlds.QUICK.get(name, {}) for name in ("identity_lda", "attribute", "linkage")
    }
    audited = world(tmp_path, attacks=attacks, defenses={"bad": OneBadRow()}, controls=False)
    report = run_audit(audited, Silent())
    scenario = report.scenario("bad")
    assert scenario.status == "failed"
    assert "NaN or infinity in 1 of" in scenario.reason
    assert {finding.status for finding in scenario.findings} == {"failed"}
    assert all("NaN or infinity in 1 of" in finding.reason for finding in scenario.findings)
    verdicts = check(report, [Gate(address=f"bad/{name}/*", limit=1.0) for name in attacks])
    assert {verdict.outcome for verdict in verdicts} == {"inconclusive"}
    assert overall(report, verdicts) == "inconclusive"


def test_rows_that_several_people_share_are_told_beside_the_utility(tmp_path, monkeypatch):
    target = Constant().apply(worlds.blind(), RunContext())
    config = world(tmp_path).config
    (note,) = utility(target, worlds.context(tmp_path), config, "cosine").notes
    rows = len(target.data.gallery)
    assert note.startswith(f"{rows} of {rows} stored rows are equal")
    assert utility(worlds.blind(), worlds.context(tmp_path), config, "cosine").notes == ()


def test_a_persons_own_equal_rows_are_no_ones_else():
    rows = torch.tensor([[1.0, 0.0], [1.0, -0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    assert shared_rows(rows, torch.tensor([1, 2, 1, 3, 3])) == 3
    assert shared_rows(rows, torch.ones(5)) == 0


class Doubling:
    """A release that can stream: rows times two, and a number of its own drawing."""

    def __call__(self, features, generator):
        return torch.cat(list(self.stream([features], generator)))

    def stream(self, blocks, generator):
        drawn = torch.rand((), generator=generator)
        return (2 * block + drawn for block in blocks)


def shift(features, generator):
    return features + torch.rand(features.shape[1], generator=generator)


RELEASES = {
    "as it is": (as_is, True),
    "streaming": (check_release(Doubling()), True),
    "two that stream": (check_release(Composed(Doubling(), Doubling())), True),
    "at once": (check_release(shift), False),
    "one that does not stream": (Composed(Doubling(), shift), False),
}


@pytest.mark.parametrize(("release", "streaming"), RELEASES.values(), ids=RELEASES.keys())
def test_a_release_in_blocks_is_the_release(release, streaming):
    rows = torch.randn(BLOCK + 5, 2, generator=torch.Generator().manual_seed(1))
    blocks = list(release_blocks(release, rows, torch.Generator().manual_seed(2)))
    assert [len(block) for block in blocks] == [BLOCK, 5]
    assert torch.equal(torch.cat(blocks), release(rows, torch.Generator().manual_seed(2)))
    assert streams(release) is streaming


def test_a_block_is_looked_at_like_a_whole_release():
    class Spoiling(Doubling):
        def stream(self, blocks, generator):
            return (block / 0 for block in blocks)

    with pytest.raises(ModelError, match="NaN or infinity in 3 of 3 rows"):
        next(release_blocks(check_release(Spoiling()), torch.ones(3, 2), torch.Generator()))


def test_rows_are_shared_if_two_people_have_them():
    rows = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [2.0, 2.0], [2.0, 2.0], [3.0, 3.0]])
    assert shared_rows(rows, torch.tensor([1, 2, 3, 3, 4])) == 2
    assert shared_rows(rows[:0], torch.tensor([], dtype=torch.long)) == 0
