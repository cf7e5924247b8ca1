"""People who are each of one colour, and a network small enough to learn them in a second."""

from dataclasses import replace

import torch
from torch import nn

from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.types import MemoryImages, ReIDDataset, Split, Target

SIZE = (16, 8)


class Small(nn.Module):
    """Convolutions with everything that private gradients dislike: batches, changes in place."""

    def __init__(self, affine=True):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.BatchNorm2d(8, affine=affine)
        self.relu = nn.ReLU(inplace=True)
        self.embed = nn.Linear(8 * 8 * 4, 16)
        self.unused = nn.Linear(4, 4)

    def forward(self, images):
        x = self.conv(images)
        y = self.norm(x)
        y += x
        return self.embed(self.relu(y).flatten(1))


def extractor(network=Small, seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CardedExtractor(network(), Card(height=SIZE[0], width=SIZE[1], l2_norm=True))


def coloured(people=8, views=4):
    """``people`` × ``views`` noisy pictures, by two cameras in turn."""
    draw = torch.Generator().manual_seed(2)
    colours = torch.rand(people, 3, 1, 1, generator=draw).repeat_interleave(views, 0)
    noise = 0.02 * torch.randn(people * views, 3, *SIZE, generator=draw)
    images = ((colours + noise).clamp(0, 1) * 255).to(torch.uint8)
    pids = torch.arange(1, people + 1).repeat_interleave(views)
    return Split(MemoryImages(images), pids, torch.arange(len(pids)) % 2)


def target(network=Small, seed=1):
    """Eight people to train on, four others to attack."""
    train, others = coloured(), coloured(4)
    others = replace(others, pids=others.pids + 100)
    return Target(extractor(network, seed), ReIDDataset("coloured", train, others, others, train))
