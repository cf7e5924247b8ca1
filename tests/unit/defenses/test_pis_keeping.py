"""A shift goes on: known people are mixed with the same picture as before, new ones are learned."""

import csv
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from auditor.certification import controls
from auditor.cli.main import app
from auditor.data import open_dataset
from auditor.data.synthetic import make_world
from auditor.data.synthetic.world import save_world
from auditor.errors import UsageError
from auditor.types import RunContext
from defenses.image_deid import Blur
from defenses.pis import IdentityShift
from defenses.pis.keeping import FILE, KeptShift
from tests import worlds

QUICK = {**worlds.TINY_SHIFT, "joint_epochs": 0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def world():
    return make_world(identities=4, auxiliary=6, cameras=2, images_per_camera=2, seed=3)


@pytest.fixture(scope="module")
def once(world, tmp_path_factory):
    """The key folder of a shift of three of the four people, and the target as it left it."""
    place = tmp_path_factory.mktemp("shift")
    known = sorted({*world.gallery.pids.tolist()} - {0})[:3]
    fewer = replace(
        world,
        gallery=world.gallery.take(
            torch.isin(world.gallery.pids, torch.tensor([*known, 0])).nonzero().flatten()
        ),
        query=world.query.take(
            torch.isin(world.query.pids, torch.tensor(known)).nonzero().flatten()
        ),
    )
    public, private = place / "out", place / "key"
    public.mkdir()
    private.mkdir()
    defense, ctx = IdentityShift(**QUICK), RunContext(seed=5, workdir=private)
    shifted = defense.apply(controls.make_null_target(fewer), ctx)
    defense.export(shifted, ctx, public)
    return private, shifted, known


@pytest.fixture
def exported(once, tmp_path):
    """The same with a key folder of its own."""
    private, shifted, known = once
    return shutil.copytree(private, tmp_path / "first.key"), shifted, known


def labels_of(folder):
    with (folder / "identities.csv").open(newline="") as file:
        return {int(row["source_pid"]): int(row["pid"]) for row in csv.DictReader(file)}


def more(key, data, place, seed=0):
    public, private = place / "out", place / "key"
    for folder in (public, private):
        folder.mkdir(parents=True)
    IdentityShift.export_more(key, data, RunContext(seed=seed, workdir=private), public)
    return public, private


def test_what_is_kept_is_what_was_mixed_in(exported):
    private, shifted, known = exported
    assert stat.S_IMODE((private / FILE).stat().st_mode) == 0o600
    kept = KeptShift.load(private)
    assert sorted(kept.labels) == known
    assert {pid: kept.labels[pid] for pid in known} == {
        pid: labels_of(private)[pid] for pid in known
    }
    gallery = shifted.originals_of_gallery
    people = gallery.take((gallery.pids > 0).nonzero().flatten())
    (mixed,) = kept.of(people.pids, generator())
    for scale in mixed:
        for pid in known:
            rows = scale[people.pids == pid]
            assert torch.equal(rows, rows[:1].expand_as(rows))
        assert len(scale.flatten(1).unique(dim=0)) == len(known)
    for name, weight in shifted.publish.network.state_dict().items():
        assert torch.equal(kept.network[name], weight)


def test_known_people_keep_label_and_partner_and_new_ones_get_theirs_for_good(
    world, exported, tmp_path
):
    private, _, known = exported
    before = KeptShift.load(private)
    public, secret = more(private, world, tmp_path / "one")
    after = KeptShift.load(private)
    new = sorted(set(after.labels) - set(before.labels))
    assert len(new) == 1 + len(world.train.pids.unique())
    assert {pid: after.labels[pid] for pid in known} == dict(before.labels)
    assert len(set(after.labels.values())) == len(after.labels)
    for one, other in zip(before.partners, after.partners, strict=True):
        assert torch.equal(one, other[: len(one)])
        # whoever is new is mixed with one of the pictures there were
        assert any(torch.equal(other[-1, 0], partner[0]) for partner in one)
    written = open_dataset(public)
    for name in ("train", "gallery", "query"):
        shown, clean = getattr(written, name), getattr(world, name)
        assert len(shown) == len(clean)
        assert {*shown.pids.tolist()} == {after.labels[pid] for pid in clean.pids.tolist()}
    assert {pid: label for pid, label in labels_of(secret).items() if pid} == dict(after.labels)
    # once more, under other randomness: nothing is learned anew
    more(private, world, tmp_path / "two", seed=9)
    again = KeptShift.load(private)
    assert again.labels == after.labels
    assert all(map(torch.equal, again.partners, after.partners))


def test_a_shift_that_cannot_go_on_keeps_no_generator(world, tmp_path):
    target, ctx = controls.make_null_target(world), RunContext(workdir=tmp_path / "key")
    blurred = Blur(kernel=(1, 1), image_size=(32, 16)).apply(target, ctx)
    for number, (start, noise) in enumerate([(blurred, "partners"), (target, "laplace")]):
        defense = IdentityShift(**QUICK, noise=noise)
        public, private = tmp_path / f"{number}", tmp_path / f"{number}.key"
        public.mkdir()
        private.mkdir()
        own = replace(ctx, workdir=private)
        defense.export(defense.apply(start, own), own, public)
        assert not (private / FILE).exists()


def test_other_poses_are_refused(world, exported, tmp_path):
    kept = KeptShift.load(exported[0])
    replace(kept, origin="an estimator").save(tmp_path)
    with pytest.raises(UsageError, match="came from: an estimator; now"):
        more(tmp_path, world, tmp_path / "more")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--preset", "full"], "leave out --preset"), ([], "contains no generator of a shift")],
)
def test_the_command_says_what_it_needs(world, tmp_path, arguments, message):
    save_world(world, tmp_path / "data")
    (tmp_path / "key").mkdir()
    chosen = ["shift", "--data", tmp_path / "data", "--out", tmp_path / "out", *arguments]
    result = CliRunner().invoke(app, [*map(str, chosen), "--key", str(tmp_path / "key")])
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_the_command_shifts_further_pictures(world, exported, tmp_path):
    save_world(world, tmp_path / "data")
    chosen = {"data": tmp_path / "data", "out": tmp_path / "out", "key": exported[0]}
    arguments = [text for name, path in chosen.items() for text in (f"--{name}", str(path))]
    result = CliRunner().invoke(app, ["shift", *arguments])
    assert result.exit_code == 0, result.exception
    pictures = list((tmp_path / "out").rglob("*.png"))
    assert len(pictures) == sum(map(len, (world.train, world.gallery, world.query)))
    assert Path(tmp_path / "out.key" / "identities.csv").is_file()
