import pytest
import torch
import torch.nn.functional as F

from auditor.models.architectures.branches import branches
from auditor.models.architectures.pcb import PCB
from tests.unit.tiny import Patches


@pytest.fixture
def images():
    return torch.randn(2, 3, 48, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("descriptor", "length"), [("pooled", 6 * 8), ("reduced", 6 * 4)])
def test_the_descriptor_has_a_piece_per_stripe(images, descriptor, length):
    net = PCB(Patches(), reduced=4, descriptor=descriptor).eval()
    assert net.feature_dim == length
    assert net(images).shape == (2, length)


def test_pieces_are_the_means_of_their_stripes(images):
    net = PCB(Patches()).eval()
    maps = net.backbone(images)  # 12 rows, two per stripe
    pieces = [maps[:, :, 2 * i : 2 * i + 2].mean((2, 3)) for i in range(6)]
    wanted = torch.stack([F.normalize(p) for p in pieces], dim=2).flatten(1)
    torch.testing.assert_close(net(images), wanted)
    views = branches(net, images)
    assert views.metric == ()
    assert [v.shape for v in views.identity] == [(2, 256)] * 6
    for view, piece in zip(views.identity, pieces, strict=True):
        torch.testing.assert_close(view, net.reduce(piece[:, :, None, None]).flatten(1))


# the backbone's pixels see their own patch alone, so what remains is PCB's doing
@pytest.mark.parametrize("stripe", [0, 3, 5])
def test_a_stripe_sees_itself_alone(images, stripe):
    net = PCB(Patches(), descriptor="reduced").eval()
    changed = images.clone()
    changed[:, :, 8 * stripe : 8 * stripe + 8] += 1
    before, after = branches(net, images).identity, branches(net, changed).identity
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert moved == [i == stripe for i in range(6)]
    pieces = zip(net(images).view(2, 256, 6).unbind(2), net(changed).view(2, 256, 6).unbind(2),
                 strict=True)  # fmt: skip
    assert [not torch.equal(a, b) for a, b in pieces] == moved


def test_a_map_with_fewer_rows_than_stripes_still_serves():
    net = PCB(Patches()).eval()
    assert net(torch.zeros(1, 3, 16, 8)).shape == (1, 48)
