"""Picture distances against formulas written out here, and against LPIPS built from its parts."""

from pathlib import Path

import lpips
import pytest
import torch
import torch.nn.functional as F
import torchvision

from auditor.errors import EnvironmentUnmetError
from auditor.metrics.perceptual import PerceptualDistance, find_backbone, psnr, ssim
from auditor.models.reference import WEIGHTS

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "weights"
NOISE = (0.0, 0.02, 0.08, 0.3)


def pictures(count=3, size=(64, 32)):
    """Smooth pictures: noise of an eighth of the size, enlarged."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, size[0] // 8, size[1] // 8, generator=generator)
    return F.interpolate(coarse, size, mode="bilinear")


def noisy(images, level):
    generator = torch.Generator().manual_seed(1)
    return (images + level * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def moves_away(distance):
    """Distances of ever noisier pictures, ``(levels, B)``."""
    with torch.no_grad():
        return torch.stack([distance(noisy(pictures(), level), pictures()) for level in NOISE])


class TestPsnr:
    def test_formula(self):
        images = noisy(pictures(), 0.1)
        squares = (images - pictures()).double().square().mean((1, 2, 3))
        assert psnr(images, pictures()).tolist() == pytest.approx((-10 * squares.log10()).tolist())

    @pytest.mark.parametrize(("gap", "decibel"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0)])
    def test_a_constant_gap_by_hand(self, gap, decibel):
        black = torch.zeros(1, 3, 16, 16)
        assert psnr(black + gap, black).item() == pytest.approx(decibel, abs=1e-3)

    def test_identical_pictures_stay_finite(self):
        assert psnr(pictures(), pictures()).tolist() == [100, 100, 100]

    def test_one_value_per_picture_in_order(self):
        images = pictures()
        images[1] = noisy(images, 0.2)[1]
        found = psnr(images, pictures()).tolist()
        assert found[0] == found[2] == 100
        assert found[1] < 30


class TestSsim:
    def test_formula(self):
        # Wang et al., 2004: 11×11 Gaussian window of 1.5 pixels, per channel, around every pixel;
        # torchmetrics mirrors the picture at its border
        x, y = noisy(pictures(), 0.1), pictures()
        axis = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.5**2))
        window = torch.outer(axis, axis) / axis.sum() ** 2

        def mean(images):
            images = F.pad(images, (5, 5, 5, 5), mode="reflect")
            return F.conv2d(images, window.expand(3, 1, 11, 11), groups=3)

        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        c1, c2 = 0.01**2, 0.03**2
        quotient = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        assert ssim(x, y).tolist() == pytest.approx(quotient.mean((1, 2, 3)).tolist(), abs=1e-4)

    def test_constant_pictures_by_hand(self):
        # only the luminance term is left: (2ab + c) / (a² + b² + c), c = 0.01²
        found = ssim(torch.full((1, 3, 32, 16), 0.2), torch.full((1, 3, 32, 16), 0.6))
        assert found.item() == pytest.approx((0.24 + 1e-4) / (0.04 + 0.36 + 1e-4), abs=1e-4)

    def test_identical_pictures_are_alike(self):
        assert ssim(pictures(), pictures()).tolist() == pytest.approx([1, 1, 1])

    def test_one_picture_gives_one_value(self):
        assert ssim(pictures(1), pictures(1)).shape == (1,)

    def test_noise_makes_pictures_less_alike(self):
        assert (moves_away(ssim).diff(dim=0) < 0).all()


@pytest.fixture(scope="module")
def reference():
    return PerceptualDistance(None)


@pytest.fixture(scope="module")
def squeeze():
    return PerceptualDistance(FOLDER)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the reference network is not trained yet")
class TestReferenceDistance:
    def test_is_named_as_what_it_is(self, reference):
        assert reference.name == "lpips_reference"
        assert "not comparable" in reference.note

    def test_zero_for_identical_pictures_and_growing_with_noise(self, reference):
        found = moves_away(reference)
        assert found.shape == (len(NOISE), 3)
        assert found[0].tolist() == [0, 0, 0]
        assert (found.diff(dim=0) > 0).all()

    def test_symmetric(self, reference):
        one, two = pictures(), noisy(pictures(), 0.1)
        with torch.no_grad():
            assert torch.allclose(reference(one, two), reference(two, one))

    def test_gradients_reach_the_pictures_and_nothing_else(self, reference):
        images = noisy(pictures(), 0.1).requires_grad_()
        reference(images, pictures()).sum().backward()
        assert images.grad.abs().sum() > 0
        assert not any(p.requires_grad for p in reference.parameters())
        assert not reference.training


def has_squeezenet():
    return bool(sorted(FOLDER.glob("squeezenet1_1*.pth")))


@pytest.mark.skipif(not has_squeezenet(), reason=f"{FOLDER} contains no squeezenet1_1*.pth")
class TestLpips:
    def test_says_which_weights_it_uses(self, squeeze):
        backbone, path = find_backbone(FOLDER)
        assert squeeze.name == "lpips"
        assert backbone in squeeze.note
        assert path.name in squeeze.note

    def test_zero_for_identical_pictures_and_growing_with_noise(self, squeeze):
        found = moves_away(squeeze)
        assert found[0].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
        assert (found.diff(dim=0) > 0).all()

    def test_same_as_built_from_its_parts(self, squeeze):
        # Zhang et al., CVPR 2018: weighted squared gaps of unit-length activations, averaged over
        # the picture, summed over layers; the layers' weights are in the lpips package
        if find_backbone(FOLDER)[0] != "squeeze":
            pytest.skip("another backbone lies beside squeezenet")
        layers = torchvision.models.squeezenet1_1().features
        state = torch.load(find_backbone(FOLDER)[1], weights_only=True)
        layers.load_state_dict(
            {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
        )
        path = Path(lpips.__file__).parent / "weights" / "v0.1" / "squeeze.pth"
        lin = torch.load(path, weights_only=True, map_location="cpu")
        shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
        scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]

        def activations(images):
            hidden = (2 * images - 1 - shift) / scale
            for index, layer in enumerate(layers):
                hidden = layer(hidden)
                if index in (1, 4, 7, 9, 10, 11, 12):
                    yield F.normalize(hidden, dim=1)

        images = noisy(pictures(), 0.1)
        with torch.no_grad():
            total = sum(
                F.conv2d((a - b) ** 2, lin[f"lin{i}.model.1.weight"]).mean((1, 2, 3))
                for i, (a, b) in enumerate(
                    zip(activations(images), activations(pictures()), strict=True)
                )
            )
            assert squeeze(images, pictures()).tolist() == pytest.approx(total.tolist(), rel=1e-3)

    def test_tiny_pictures_are_enlarged_first(self, squeeze):
        images = noisy(pictures(size=(32, 16)), 0.1)
        with torch.no_grad():
            found = squeeze(images, pictures(size=(32, 16)))
            twice = [F.interpolate(x, scale_factor=2.0) for x in (images, pictures(size=(32, 16)))]
            assert torch.equal(found, squeeze(*twice))
        assert (found > 0.001).all()

    def test_making_one_leaves_the_random_numbers_of_others_alone(self):
        before = torch.random.get_rng_state()
        PerceptualDistance(FOLDER)
        PerceptualDistance(None)
        assert torch.equal(torch.random.get_rng_state(), before)


class TestMissingWeights:
    def test_an_empty_folder_says_what_to_put_there(self, tmp_path):
        with pytest.raises(EnvironmentUnmetError, match=r"put one of .*squeezenet1_1\*\.pth"):
            PerceptualDistance(tmp_path)

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(EnvironmentUnmetError, match="contains no LPIPS backbone"):
            PerceptualDistance(tmp_path / "none")

    @pytest.mark.parametrize(
        "state", [{"features.0.weight": torch.zeros(1)}, {"weight": torch.zeros(1)}, {}, [1, 2]]
    )
    def test_other_weights_of_that_name(self, tmp_path, state):
        torch.save(state, tmp_path / "squeezenet1_1_mine.pth")
        with pytest.raises(EnvironmentUnmetError, match=r"_mine\.pth is not a squeezenet"):
            PerceptualDistance(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04broken"])
    def test_a_damaged_file(self, tmp_path, content):
        (tmp_path / "squeezenet1_1.pth").write_bytes(content)
        with pytest.raises(EnvironmentUnmetError, match=r"squeezenet1_1\.pth is not a squeezenet"):
            PerceptualDistance(tmp_path)

    def test_backbones_are_taken_in_the_order_of_the_package(self, tmp_path):
        for name in ("vgg16.pth", "squeezenet1_1-b.pth", "squeezenet1_1-a.pth"):
            (tmp_path / name).touch()
        assert find_backbone(tmp_path) == ("squeeze", tmp_path / "squeezenet1_1-a.pth")
        (tmp_path / "alexnet.pth").touch()
        assert find_backbone(tmp_path)[0] == "alex"
