import pytest
import torch

from auditor.models.architectures.branches import branches
from auditor.models.architectures.isp import ISP
from auditor.models.architectures.part_labels import person_parts, strength
from tests.unit.tiny import Patches


def generator():
    return torch.Generator().manual_seed(0)


def planted(views=3, parts=3, noise=0.02):
    """Maps of a person: a weak border, and inside it bands of one direction each.

    The bands' heights differ between the pictures, so that rows alone would not do.
    """
    draw = torch.Generator().manual_seed(1)
    directions = torch.eye(parts, 6)[torch.randperm(parts, generator=draw)]
    maps, labels = torch.zeros(views, 6, 12, 6), torch.zeros(views, 12, 6, dtype=torch.long)
    for view in range(views):
        cuts = [1, 4 + view % 2, 8 - view % 2, 11]
        for part in range(parts):
            rows = slice(cuts[part], cuts[part + 1])
            maps[view, :, rows, 1:5] = directions[part][:, None, None] * (1 + view)
            labels[view, rows, 1:5] = part + 1
    return maps + noise * torch.rand(maps.shape, generator=draw), labels


def test_parts_are_found_and_numbered_from_the_top():
    maps, labels = planted()
    found = person_parts(maps, 3, generator())
    assert torch.equal(found.labels, labels)
    # between the border's strength and the inside's
    assert 0.1 < found.threshold < 0.9


def test_strength_is_relative_to_each_picture():
    maps, _ = planted()
    lengths = strength(maps)
    torch.testing.assert_close(lengths.amax((1, 2)), torch.ones(3))
    torch.testing.assert_close(strength(5 * maps), lengths)
    assert lengths[0, 2, 2].item() == pytest.approx(
        (maps[0, :, 2, 2] ** 2).sum().sqrt().item() / (maps[0] ** 2).sum(0).max().sqrt().item()
    )


def test_clusters_repeat_with_the_seed():
    maps = torch.rand(3, 6, 8, 4, generator=generator())
    one, two = (person_parts(maps, 3, generator()).labels for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("maps", [torch.zeros(2, 4, 3, 2), torch.ones(1, 4, 1, 1)])
def test_a_flat_map_has_no_parts(maps):
    assert not person_parts(maps, 6, generator()).labels.any()


def test_fewer_pixels_than_parts():
    maps = torch.zeros(1, 4, 3, 2)
    maps[0, 0, 0, 0] = maps[0, 1, 2, 1] = 1
    labels = person_parts(maps, 6, generator()).labels
    assert labels[0].tolist() == [[1, 0], [0, 0], [0, 2]]


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ISP(Patches(), parts=3, reduced=6)


@pytest.fixture
def people():
    draw = generator()
    return [torch.randn(4, 3, 32, 16, generator=draw) for _ in range(3)]


def test_features_are_parts_foreground_and_whole(net, people):
    net.eval()
    images = people[0]
    features = net(images)
    assert features.shape == (4, net.feature_dim) == (4, 5 * 6)
    maps = net.reduce(net.backbone(images))
    belief = net.parse(maps).softmax(1)
    pieces = [(maps * belief[:, k : k + 1]).mean((2, 3)) for k in (1, 2, 3)]
    wanted = torch.cat([*pieces, sum(pieces), maps.mean((2, 3))], dim=1)
    torch.testing.assert_close(features, wanted / (1 + 1e-5) ** 0.5)
    views = branches(net, images)
    assert [v.shape[1] for v in views.metric] == [18, 6, 6]
    torch.testing.assert_close(torch.cat(views.metric, 1), wanted)
    torch.testing.assert_close(torch.cat(views.identity, 1), features)


def test_pixels_have_a_loss_once_parts_were_found(net, people):
    assert branches(net, people[0]).own is None
    net.learn_parts(people, generator())
    assert net.training
    loss = branches(net, people[0]).own
    loss.backward()
    assert net.parse.weight.grad.abs().sum() > 0
    assert net.backbone.conv.weight.grad.abs().sum() > 0


def test_prototypes_give_back_the_planted_parts(net):
    maps, labels = planted()
    net._map = lambda images: images  # the maps themselves are the pictures
    net.learn_parts([maps, planted(noise=0.03)[0]], generator())
    assert (net.labels(maps) == labels).float().mean() > 0.99


def test_the_loss_teaches_the_parts(net, people):
    net.learn_parts(people, generator())
    net.eval()
    images = torch.cat(people)
    maps = net._map(images).detach()
    wanted = net.labels(maps)
    assert len(wanted.unique()) == 4
    optimizer = torch.optim.Adam(net.parse.parameters(), 0.1)
    before = (net.parse(maps).argmax(1) == wanted).float().mean()
    for _ in range(60):
        optimizer.zero_grad()
        branches(net, images).own.backward()
        optimizer.step()
    after = (net.parse(maps).argmax(1) == wanted).float().mean()
    assert after > max(0.8, before)


def test_what_is_made_anew_each_epoch_is_not_saved(net, people):
    names = set(net.state_dict())
    net.learn_parts(people, generator())
    assert set(net.state_dict()) == names
    assert not {"prototypes", "threshold"} & names
