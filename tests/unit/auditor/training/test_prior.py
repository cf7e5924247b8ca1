"""`audit prior train`: it learns, goes on where it was interrupted, and says what it is of."""

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from auditor.cli.main import app
from auditor.errors import UsageError
from auditor.models.prior import load_prior
from auditor.training import prior_job
from auditor.training import train_prior as script
from auditor.training.prior import PriorRecipe, train_prior
from auditor.types import RunContext
from tests import worlds

SHORT = PriorRecipe(epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def pixels():
    images = worlds.few().auxiliary.images
    return images.load(range(32), (64, 32)).mul(255).byte()


def train(pixels, tmp_path, recipe=SHORT, **options):
    return train_prior(pixels, "small", recipe, RunContext(workdir=tmp_path), **options)


def error(prior, pixels):
    images = pixels.float() / 255
    return float((prior.decode(prior.encode(images)) - images).abs().mean())


def test_training_teaches_it_the_pictures(pixels, tmp_path):
    short = replace(SHORT, epochs=1, perceptual=0.0)
    recipes = (short, replace(short, epochs=12))
    errors = [error(train(pixels, tmp_path, recipe), pixels) for recipe in recipes]
    assert errors[1] < errors[0] * 0.8


def test_an_interrupted_training_ends_as_an_uninterrupted_one(pixels, tmp_path):
    whole = train(pixels, tmp_path)
    checkpoint = tmp_path / "prior.ckpt"

    def stop(fraction, detail=""):
        if fraction > 0.5:
            raise KeyboardInterrupt

    ctx = RunContext(workdir=tmp_path, progress=stop)
    with pytest.raises(KeyboardInterrupt):
        train_prior(pixels, "small", SHORT, ctx, checkpoint=checkpoint, address="a")
    resumed = train(pixels, tmp_path, checkpoint=checkpoint, address="a")
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    with pytest.raises(UsageError, match="of other pictures or settings"):
        train(pixels, tmp_path, checkpoint=checkpoint, address="b")


def invoke(*arguments):
    return CliRunner().invoke(app, ["prior", "train", *map(str, arguments)])


def test_the_command_writes_a_prior_that_says_what_it_is_of(tmp_path, monkeypatch):
    monkeypatch.setattr(prior_job, "CAMERAS", 1)
    addresses = []
    for epochs, name in ((1, "a"), (1, "b"), (2, "c")):
        out = tmp_path / f"{name}.safetensors"
        done = invoke("--synthetic", 8, "--out", out, "--epochs", epochs, "--device", "cpu")
        assert done.exit_code == 0, done.output
        assert "trained on 16 pictures of 8 people" in done.output
        assert not out.with_suffix(".ckpt").exists()
        facts = load_prior(out)[1]
        assert facts["recipe"]["epochs"] == epochs
        addresses.append(facts["address"])
    assert addresses[0] == addresses[1] != addresses[2]
    assert "pass --overwrite" in str(invoke("--synthetic", 8, "--out", out).exception)


def test_the_script_of_the_shipped_prior_writes_one_like_it(tmp_path, monkeypatch):
    monkeypatch.setattr(prior_job, "CAMERAS", 1)
    out = tmp_path / "shipped.safetensors"
    options = ["--out", str(out), "--epochs", "1", "--people", "8"]
    done = CliRunner().invoke(script.app, options)
    assert done.exit_code == 0, done.output
    facts, shipped = load_prior(out)[1], load_prior()[1]
    assert facts["people"] == 8
    assert {k: facts[k] for k in ("data", "preset", "seed")} == {
        k: shipped[k] for k in ("data", "preset", "seed")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --data DIR, or --synthetic N"),
        (["--data", ".", "--synthetic", 2], "give --data DIR, or --synthetic N"),
        (["--synthetic", 2, "--resume"], "leave --resume out to begin"),
        (["--synthetic", 2, "--set", "lr=-1"], "the prior: lr"),
        (["--synthetic", 2, "--set", "speed=1"], "the prior: no setting named 'speed'; there are"),
        (["--synthetic", 2, "--set", "epoch=1"], "'epoch'; did you mean 'epochs'?"),
    ],
)
def test_the_command_says_what_it_needs(tmp_path, arguments, message):
    done = invoke("--out", tmp_path / "prior.safetensors", *arguments)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
    assert not list(tmp_path.iterdir())
