"""Priors for pictures: codes of mean 0 and deviation 1, and a file that is data alone."""

import json
import math

import pytest
import safetensors.torch
import torch

from auditor.data.synthetic import make_world
from auditor.errors import EnvironmentUnmetError, ModelError
from auditor.metrics.perceptual import psnr
from auditor.models.prior import CATALOGUE, KEY, WEIGHTS, load_prior, new_prior, save_prior


def pictures(people=20, size=(64, 32)):
    world = make_world(identities=1, auxiliary=people, images_per_camera=2, seed=5, size=size)
    return world.auxiliary.images.load(range(len(world.auxiliary)), size)


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    return new_prior("small").eval().requires_grad_(False)


@pytest.mark.parametrize(("preset", "grid"), [("small", (8, 8, 4)), ("large", (16, 8, 4))])
def test_a_picture_becomes_a_small_grid(preset, grid):
    shape = CATALOGUE[preset]
    assert shape.grid == grid
    assert shape.codes <= math.prod(grid)


def test_codes_of_the_people_it_learned_have_mean_0_and_deviation_1(prior):
    images = pictures()
    prior.learn_axes(prior.latents(images)[0])
    codes = prior.encode(images)
    assert codes.shape == (len(images), prior.shape.codes)
    told = codes[:, :60]  # so few pictures span fewer axes than there are
    assert torch.allclose(told.mean(0), torch.zeros(60), atol=1e-3)
    assert torch.allclose(told.std(0), torch.ones(60), atol=1e-2)
    lengths = prior.axes.norm(dim=1)
    assert (lengths[:-1] >= lengths[1:] * 0.9999).all(), "the longest axis comes first"


def test_decoding_undoes_encoding_as_far_as_the_axes_reach(prior):
    images = pictures()
    grids = prior.latents(images)[0]
    prior.learn_axes(grids)
    direct = prior.picture(grids)
    assert torch.allclose(prior.decode(prior.encode(images)), direct, atol=1e-3)
    assert direct.shape == images.shape


def test_a_file_gives_the_prior_back(prior, tmp_path):
    path = tmp_path / "prior.safetensors"
    save_prior(path, prior, "small", {"data": "nobody"})
    read, facts = load_prior(path)
    assert facts == {"data": "nobody"}
    images = pictures(2)
    codes = prior.encode(images)
    assert torch.allclose(read.decode(codes), prior.decode(codes), atol=0.01)
    assert not any(weight.requires_grad for weight in read.parameters())


def test_loading_leaves_the_generator_alone(prior, tmp_path):
    path = tmp_path / "prior.safetensors"
    save_prior(path, prior, "small", {})
    before = torch.random.get_rng_state()
    load_prior(path)
    assert torch.equal(before, torch.random.get_rng_state())


def damaged(prior, **changes):
    state = {name: weight.half().contiguous() for name, weight in prior.state_dict().items()}
    return safetensors.torch.save({**state, **changes.pop("state", {})}, changes.pop("metadata"))


SAID = {KEY: json.dumps({"preset": "small", "facts": {}})}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda p: b"no safetensors", "contains no prior"),
        (lambda p: damaged(p, metadata=None), "contains no prior"),
        (lambda p: damaged(p, metadata={KEY: "[" * 99_999}), "contains no prior"),
        (lambda p: damaged(p, metadata={KEY: '{"preset": ["small"], "facts": {}}'}), "no prior"),
        (
            lambda p: damaged(p, metadata={KEY: '{"preset": "os.system", "facts": {}}'}),
            "names the preset os.system; known are small, large",
        ),
        (lambda p: damaged(p, metadata=SAID, state={"centre": torch.zeros(3)}), "does not fit"),
        (
            lambda p: damaged(p, metadata=SAID, state={"centre": torch.full((256,), torch.nan)}),
            "no numbers",
        ),
    ],
)
def test_what_is_no_prior_is_refused(prior, tmp_path, content, message):
    path = tmp_path / "prior.safetensors"
    path.write_bytes(content(prior))
    with pytest.raises(ModelError, match=message):
        load_prior(path)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(EnvironmentUnmetError, match="audit prior train"):
        load_prior(tmp_path / "nowhere.safetensors")


def test_the_shipped_prior_is_small_and_knows_synthetic_people_of_another_world():
    assert WEIGHTS.stat().st_size <= 4e6
    prior, facts = load_prior()
    assert facts["data"] == "synthetic people"
    images = pictures()
    assert float(psnr(prior.decode(prior.encode(images)), images).mean()) > 20
