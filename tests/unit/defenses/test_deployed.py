"""A gallery that was handed over is lined up with its pictures, or refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from auditor.deployment.handover import key_folder
from auditor.embedding import stored_gallery
from auditor.errors import UsageError
from auditor.types import RunContext
from defenses.deployed import Deployed
from defenses.dp_gallery import GalleryNoise
from tests import worlds


@pytest.fixture
def out(tmp_path):
    """A copy of a written gallery and its key."""
    for source in (worlds.written(), key_folder(worlds.written())):
        shutil.copytree(source, tmp_path / source.name)
    return tmp_path / "out"


def test_each_picture_gets_its_own_row(out):
    made = GalleryNoise(epsilon=1e5, trials=200).apply(worlds.leaky(), RunContext())
    defended = Deployed(folder=str(out)).apply(worlds.leaky(), RunContext(seed=8))
    stored = stored_gallery(defended, RunContext())
    assert torch.equal(stored, stored_gallery(made, RunContext()))
    # further draws are of the mechanism, under other keys
    again = defended.release(stored, torch.Generator())
    assert not torch.equal(again, stored)
    assert [claim.epsilon_claimed for claim in defended.claims] == [1e5]


def test_it_is_the_file_that_is_audited_not_the_recipe(out):
    stored = dict(np.load(out / "gallery.npz"))
    # somebody forgot the noise
    stored["features"] = stored["pids"][:, None] * np.ones_like(stored["features"])
    np.savez(out / "gallery.npz", **stored)
    defended = Deployed(folder=str(out)).apply(worlds.leaky(), RunContext())
    shown, pids = stored_gallery(defended, RunContext())[:, 0], worlds.leaky().data.gallery.pids
    pairs = set(zip(shown.tolist(), pids.tolist(), strict=True))
    assert len(pairs) == len(pids.unique()) == len(shown.unique())


def test_noise_on_top_is_noise_on_the_mechanism(out):
    defended = Deployed(folder=str(out)).apply(worlds.leaky(), RunContext())
    twice = GalleryNoise(epsilon=10.0, trials=200).apply(defended, RunContext())
    one, two = (stored_gallery(target, RunContext()) for target in (defended, twice))
    assert (one - two).std() > 0.1


def shortened(out):
    stored = dict(np.load(out / "gallery.npz"))
    np.savez(out / "gallery.npz", **{name: column[1:] for name, column in stored.items()})


def doubled(out):
    stored = dict(np.load(out / "gallery.npz"))
    np.savez(out / "gallery.npz", **{**stored, "features": stored["features"][0]})


def pickled(out):
    stored = dict(np.load(out / "gallery.npz"))
    np.savez(out / "gallery.npz", **{**stored, "pids": np.array([{}] * 3, dtype=object)})


def marked(*changes):
    """Say that the defense changed something else."""

    def spoil(out):
        about = json.loads((out / "claims.json").read_text())
        about["defenses"][0]["changes"] = changes
        (out / "claims.json").write_text(json.dumps(about))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda out: (out / "claims.json").unlink(), "is not what audit defend writes"),
        (lambda out: (out / "claims.json").write_text("[]"), "is not what audit defend writes"),
        (lambda out: (out / "gallery.npz").write_bytes(b"PK"), "is not a stored gallery"),
        (doubled, "a gallery of"),
        (pickled, "is not a stored gallery"),
        (lambda out: (key_folder(out) / "rows.csv").unlink(), "part of the key"),
        (shortened, "gallery pictures are among the 71 stored rows"),
        (marked("gallery", "pictures"), "audited as --data"),
        (marked("model"), "no stored gallery"),
    ],
)
def test_what_cannot_be_lined_up_with_its_pictures_is_refused(out, spoil, message):
    spoil(out)
    with pytest.raises(UsageError, match=message):
        Deployed(folder=str(out)).apply(worlds.leaky(), RunContext())


def test_another_gallery_is_refused(out):
    with pytest.raises(UsageError, match="0 of 2 gallery pictures"):
        Deployed(folder=str(out)).apply(worlds.crowd(1, 2), RunContext())
