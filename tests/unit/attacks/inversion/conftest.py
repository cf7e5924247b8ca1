"""People and a painter that the tests of the learnt prior's attacks have in common."""

from dataclasses import replace

import pytest

from attacks.inversion import PriorInversion
from attacks.inversion.reconstruction import auxiliary_pairs
from auditor.models.prior import load_prior
from tests import worlds


@pytest.fixture(scope="module")
def few():
    return replace(worlds.trainable(), data=worlds.few())


@pytest.fixture(scope="module")
def painter(few):
    prior, ctx = load_prior()[0].to(worlds.DEVICE), worlds.plain_context()
    own = auxiliary_pairs(few, prior.shape.size, ctx)
    return PriorInversion(epochs=0)._learn(prior, own, few, ctx)
