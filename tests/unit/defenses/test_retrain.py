"""Fine-tuning on protected pictures gives back accuracy, and sees nothing but protected ones."""

from dataclasses import replace

import pytest
import torch

from auditor.errors import DataError
from auditor.evaluation.utility import search
from auditor.types import RunContext
from defenses.image_deid import Blur
from defenses.retrain import Retrain
from tests import worlds

LEARNING = Retrain(epochs=4, steps=10, people=8, views=3, lr=1e-3)


@pytest.fixture(scope="module")
def blurred():
    return Blur(kernel=(43, 21)).apply(worlds.trainable(), RunContext())


def test_an_extractor_learns_to_work_with_protected_pictures(blurred):
    ctx = RunContext()
    before = search(blurred, ctx, "cosine").mean_ap
    after = search(LEARNING.apply(blurred, ctx), ctx, "cosine").mean_ap
    assert after > before + 0.05


def test_it_learns_from_nothing_but_protected_pictures(blurred):
    seen = []

    def publish(split, generator):
        seen.append(split)
        return replace(split, images=split.images, pids=torch.zeros_like(split.pids))

    # the mechanism says that nobody is anybody, so there is nobody to tell apart
    with pytest.raises(DataError):
        LEARNING.apply(worlds.told(blurred, publish), RunContext())
    assert [len(split) for split in seen] == [len(blurred.data.train)]


def test_alone_it_is_plain_fine_tuning():
    target = worlds.trainable()
    trained = Retrain(epochs=1, steps=2, people=4, views=2).apply(target, RunContext())
    assert trained.data is target.data
    assert trained.extractor is not target.extractor
