"""A network that cannot be written is refused before anything trains it."""

import pytest
import torch
from torch import nn

from auditor import plugins
from auditor.deployment.defend import try_export
from auditor.errors import ModelError
from auditor.models import LoadedModel
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor


class Counting(nn.Module):
    """Does one thing with two images and another with more, which no trace shows."""

    def forward(self, images):
        features = images.mean((2, 3))
        return features if len(images) == 2 else features.flip(1)


def loaded(network):
    extractor = CardedExtractor(network, Card(height=16, width=8))
    facts = {"arch": "own", "format": "checkpoint"}
    return LoadedModel(extractor=extractor, device=torch.device("cpu"), facts=facts)


def built(*names):
    return [plugins.build("defenses", name, {}) for name in names]


@pytest.mark.parametrize("name", ["retrain", "adversarial", "deid", "dp_sgd", "federated"])
def test_whatever_trains_the_network_is_preceded_by_a_trial(name):
    with pytest.raises(ModelError, match="cannot be traced"):
        try_export(loaded(Counting()), built("dp_gallery", name))


def test_whatever_does_not_train_it_needs_none():
    try_export(loaded(Counting()), built("dp_gallery", "blur"))
