import pytest
import torch
from torch import nn

from auditor.models.architectures.branches import branches
from auditor.models.architectures.transreid import OverlappingPatches, TransReID, jigsaw_order

SIZE = (64, 32)
TINY = "vit_tiny_patch16_224"


@pytest.fixture
def images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def made(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TransReID(SIZE, TINY, **options).eval()


# the paper's table of patch numbers for 256×128: 128, 210 (stride 12) and so on
@pytest.mark.parametrize(
    ("size", "stride", "grid"),
    [
        ((256, 128), 16, (16, 8)),
        ((256, 128), 12, (21, 10)),
        ((256, 128), 14, (18, 9)),
        ((384, 128), 12, (31, 10)),
        ((64, 32), 12, (5, 2)),
    ],
)
def test_number_of_overlapping_patches(size, stride, grid):
    patches = OverlappingPatches(size, 16, stride=stride, embed_dim=3)
    assert patches.grid_size == grid
    assert patches(torch.zeros(1, 3, *size)).shape == (1, grid[0] * grid[1], 3)
    assert patches.num_patches == grid[0] * grid[1]


def test_patches_overlap_by_side_minus_stride():
    patches = OverlappingPatches((28, 16), 16, stride=12, embed_dim=2)
    picture = torch.zeros(1, 3, 28, 16)
    plain = patches(picture)
    picture[:, :, 13] = 1  # rows 12 to 15 lie in both
    assert ((patches(picture) - plain).abs().sum(2) > 0).tolist() == [[True, True]]
    picture[:, :, 13], picture[:, :, 20] = 0, 1
    assert ((patches(picture) - plain).abs().sum(2) > 0).tolist() == [[False, True]]


@pytest.mark.parametrize("patches", [8, 10, 128, 129, 210])
def test_the_jigsaw_is_a_permutation(patches):
    order = jigsaw_order(patches)
    assert sorted(order.tolist()) == list(range(patches))
    assert order.tolist() != list(range(patches))


def test_each_jigsaw_group_spreads_over_the_picture():
    # neighbours in the dealt order come from halves of the picture that lie apart
    order = jigsaw_order(128)
    assert ((order[0::2] - order[1::2]).abs() >= 60).all()


@pytest.mark.parametrize(("jigsaw", "length"), [(True, 5 * 192), (False, 192)])
def test_features_and_branches(images, jigsaw, length):
    net = made(jigsaw=jigsaw)
    features = net(images)
    assert features.shape == (2, length)
    assert net.feature_dim == length
    views = branches(net, images)
    assert [v.shape for v in views.metric] == [(2, 192)] * (length // 192)
    assert len(views.identity) == len(views.metric)
    pieces = features.split(192, dim=1)
    torch.testing.assert_close(pieces[0], views.metric[0])
    for piece, view in zip(pieces[1:], views.metric[1:], strict=True):
        torch.testing.assert_close(4 * piece, view)
    torch.testing.assert_close(
        views.identity[0], views.metric[0] / (1 + nn.BatchNorm1d(1).eps) ** 0.5
    )


def test_the_jigsaws_parts_against_one_pass_each(images):
    net = made()
    tokens = net._tokens(images, None)
    for block in net.blocks:
        tokens = block(tokens)
    # as the paper says it, on tokens that count the class token: move the first, deal in two
    token, shifted = tokens[:, :1], torch.cat([tokens[:, 5:], tokens[:, 1:5]], dim=1)
    half = shifted.shape[1] // 2
    dealt = [shifted[:, i + half * j] for i in range(half) for j in range(2)]
    wanted = []
    for part in range(4):
        length = len(dealt) // 4
        piece = torch.stack(dealt[part * length : (part + 1) * length], dim=1)
        wanted.append(net.parts(torch.cat([token, piece], dim=1))[:, 0])
    torch.testing.assert_close(net.vectors(images)[1:], wanted, rtol=1e-4, atol=1e-5)


def test_both_last_blocks_start_alike_and_learn_apart():
    net = made()
    for one, other in zip(net.whole.parameters(), net.parts.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one is not other


def test_side_information_moves_the_features(images):
    net = made(sides=3, jigsaw=False)
    one, two = (net(images, torch.tensor([s, s])) for s in (0, 1))
    assert (one - two).abs().max() > 1e-3
    mixed = net(images, torch.tensor([0, 1]))
    torch.testing.assert_close(mixed, torch.stack([one[0], two[1]]), rtol=1e-4, atol=1e-5)
    # with equal embeddings it does not matter which, and unknown is like any
    net.side_embed.data.copy_(net.side_embed[:1].expand(3, -1, -1).clone())
    torch.testing.assert_close(net(images), net(images, torch.tensor([2, 0])))


def test_without_side_information_there_is_none():
    assert "side_embed" not in made().state_dict()
    assert made(sides=6).state_dict()["side_embed"].shape == (6, 1, 192)


def test_gradients_reach_the_image_and_every_weight(images):
    net = made(sides=2)
    images.requires_grad_()
    views = branches(net, images)
    # normalised vectors have a constant sum of squares
    sum((v**3).sum() for v in views.identity).backward()
    assert images.grad.abs().sum() > 0
    idle = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == []


def test_another_size_than_it_was_laid_out_for_is_refused():
    with pytest.raises(RuntimeError):
        made()(torch.zeros(1, 3, 96, 32))
