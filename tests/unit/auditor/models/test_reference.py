"""The shipped extractor is small, loads, and finds synthetic people it never saw."""

import pytest
import torch
from typer.testing import CliRunner

from auditor.data.synthetic import make_world
from auditor.errors import EnvironmentUnmetError, ModelError
from auditor.models.reference import WEIGHTS, ReferenceNet, load_reference, save_reference
from auditor.training import Recipe, train_reference
from auditor.training.train_reference import cross_camera_retrieval, train


@pytest.fixture(scope="module")
def net():
    return load_reference()


def test_weights_are_small():
    assert WEIGHTS.stat().st_size <= 3_000_000


def test_features_are_finite_and_of_the_stated_size(net):
    assert not net.training
    with torch.no_grad():
        features = net(torch.randn(5, 3, *net.input_size))
    assert features.shape == (5, net.feature_dim)
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()


def test_stages_halve_the_picture(net):
    with torch.no_grad():
        stages = net.stages(torch.randn(2, 3, 128, 64))
    assert [stage.shape[-2:] for stage in stages] == [(64, 32), (32, 16), (16, 8), (8, 4)]


def test_gradients_reach_the_picture(net):
    images = torch.randn(2, 3, 128, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(images).square().sum(), images)
    assert gradient.abs().sum() > 0


@pytest.fixture(scope="module")
def strangers():
    return make_world(identities=40, auxiliary=0, images_per_camera=2, seed=11)


def test_shipped_network_finds_people_it_never_saw(net, strangers):
    found = cross_camera_retrieval(net, strangers)
    assert found.cmc(1) > 0.7
    assert found.mean_ap > 0.6


def test_untrained_network_finds_few(strangers):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blank = ReferenceNet().eval()
    assert cross_camera_retrieval(blank, strangers).mean_ap < 0.4


def test_weights_survive_the_file(tmp_path, net):
    save_reference(net, tmp_path / "again.safetensors")
    again = load_reference(tmp_path / "again.safetensors")
    images = torch.randn(2, 3, 128, 64)
    with torch.no_grad():
        assert torch.equal(net(images), again(images))


def test_loading_leaves_the_generator_alone():
    before = torch.random.get_rng_state()
    load_reference()
    assert torch.equal(before, torch.random.get_rng_state())


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(EnvironmentUnmetError, match="train_reference"):
        load_reference(tmp_path / "none.safetensors")


def test_foreign_weights_are_refused(tmp_path):
    save_reference(ReferenceNet(width=8), tmp_path / "small.safetensors")
    with pytest.raises(ModelError, match="does not fit"):
        load_reference(tmp_path / "small.safetensors")


def test_script_trains_and_reports(tmp_path, monkeypatch):
    app = train_reference.app
    out = tmp_path / "tiny.safetensors"
    options = ["--epochs", "1", "--steps", "2", "--people", "16", "--cameras", "2"]
    done = CliRunner().invoke(app, ["--out", str(out), "--held-out", "4", *options])
    assert done.exit_code == 0, done.output
    assert "rank-1" in done.output
    assert out.is_file()


def test_training_is_reproducible():
    first, second = (train(8, 2, Recipe(epochs=1, steps=1)) for _ in range(2))
    weights = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)
