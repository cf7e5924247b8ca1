"""Pictures through an aligned space: nobody asks the model, and nobody judges what they made."""

from dataclasses import replace

import pytest
import torch

from attacks.alignment import AlignedComposite
from attacks.protocol.own_network import shipped_network
from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError
from tests import worlds


class Mute(torch.nn.Module):
    """An extractor that must not be asked."""

    def __init__(self, extractor):
        super().__init__()
        self.feature_dim, self.input_size = extractor.feature_dim, extractor.input_size

    def forward(self, images):
        raise AssertionError("the model was asked")


def test_the_model_is_asked_for_nothing(tmp_path):
    real = worlds.turned()
    target = replace(real, extractor=Mute(real.extractor))
    ctx = replace(worlds.context(tmp_path), judges={"judge": real.extractor})
    # the gallery is stored, and queries tell whether the own network is the model itself
    for split in (real.data.gallery, real.data.query):
        rows = features_of(real.extractor, split, ctx)
        ctx.cache.add_features(target.extractor, split, rows)
    attack = AlignedComposite(image_size=(32, 16), candidates=4, starts=1)
    result = attack.run(target, ctx)
    assert result.measurements[0].low > 0.2
    assert any("aligned by 50 people whose pictures are held" in note for note in result.notes)
    assert result.notes[-1].endswith("the shipped network")


def test_the_adversarys_own_network_is_no_judge(tmp_path):
    own = shipped_network(worlds.DEVICE)
    ctx = replace(worlds.context(tmp_path), judges={"own": own})
    with pytest.raises(UnsupportedTargetError, match="own is the adversary's own and the only"):
        AlignedComposite(own_model="own").run(worlds.turned(), ctx)
