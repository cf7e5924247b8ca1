"""What public training configurations say of a model: written here as the code bases write them."""

import pytest

from auditor.errors import UsageError
from auditor.models.training_config import read_training_config

BAGTRICKS = """
MODEL:
  META_ARCHITECTURE: Baseline
  BACKBONE: {NAME: build_resnet_backbone, DEPTH: 50x, WITH_IBN: False}
  HEADS: {NAME: EmbeddingHead, NECK_FEAT: before, POOL_LAYER: GlobalAvgPool}
INPUT: {SIZE_TEST: [ 256, 128 ]}
"""
SBS = """
_BASE_: Base-bagtricks.yml
MODEL:
  BACKBONE: {WITH_NL: True}
  HEADS: {NECK_FEAT: after, POOL_LAYER: GeneralizedMeanPoolingP}
INPUT: {SIZE_TEST: [ 384, 128 ]}
"""
JIGSAW = """
MODEL:
  NAME: 'transformer'
  TRANSFORMER_TYPE: 'vit_base_patch16_224_TransReID'
  STRIDE_SIZE: [12, 12]
  SIE_CAMERA: True
  JPM: True
INPUT:
  SIZE_TEST: [384, 128]
  PIXEL_MEAN: [0.5, 0.5, 0.5]
  PIXEL_STD: [0.5, 0.5, 0.5]
TEST: {NECK_FEAT: 'before'}
"""


def read(tmp_path, text, **further):
    for name, content in further.items():
        (tmp_path / f"{name.replace('_', '-', 1)}.yml").write_text(content)
    path = tmp_path / "config.yml"
    path.write_text(text)
    return read_training_config(path)


def test_fastreid(tmp_path):
    said = read(tmp_path, BAGTRICKS)
    assert said.arch == "fastreid_resnet50+before_neck"
    assert (said.card.height, said.card.width, said.card.value_range) == (256, 128, "0..255")
    assert said.card.mean == pytest.approx((123.675, 116.28, 103.53))
    assert said.facts == {"training_config": "config.yml"}


def test_fastreid_builds_on_other_files(tmp_path):
    said = read(tmp_path, SBS, Base_bagtricks=BAGTRICKS)
    assert said.arch == "fastreid_sbs_resnet50"
    assert said.card.height == 384
    with pytest.raises(UsageError, match="leads to no further configuration"):
        read(tmp_path, "_BASE_: config.yml")


def test_transreid(tmp_path):
    said = read(tmp_path, JIGSAW)
    assert said.arch == "transreid_base_sie"
    assert (said.card.height, said.card.mean, said.card.std) == (384, (0.5,) * 3, (0.5,) * 3)


def changed(old, new, text=JIGSAW):
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "arch"),
    [
        (changed("'before'", "'after'"), "transreid_base_sie+after_neck"),
        (changed("JPM: True", "JPM: False"), "vit_reid_base_sie"),
        (changed("[12, 12]", "[16, 16]"), "transreid_base_stride16_sie"),
        (changed("JPM: True", "STEM_CONV: True"), "transreid_ssl_base_sie"),
        (changed("JPM: True", "FEAT_FUSION: 'cat'").replace("SIE_CAMERA: True", "SIE_CAMERA: no"),
         "pass_base"),
        (changed("vit_base_patch16_224_TransReID", "swin_base_patch4_window7_224")
 , "solider_base"),
        (changed("'transformer'", "'ViT-B-16'"), "clip_reid_stride12_sie"),
        (changed("'transformer'", "RN50"), "clip_reid_resnet50"),
        ("MODEL: {NAME: ('resnet50')}", "bot_resnet50"),
        ("MODEL: {NAME: resnet50, PRETRAIN_HW_RATIO: 2}", "transreid_ssl_resnet50"),
        ("MODEL: {NAME: resnet50_nl, GENERALIZED_MEAN_POOL: on}", "bot_agw_resnet50"),
        (changed("DEPTH: 50x, WITH_IBN: False", "DEPTH: 101x, WITH_IBN: True", BAGTRICKS),
         "fastreid_resnet101_ibn+before_neck"),
        (changed("GlobalAvgPool", "GeneralizedMeanPooling", BAGTRICKS),
         "fastreid_resnet50+gem3+before_neck"),
        (changed("build_resnet_backbone", "build_resnest_backbone, WITH_NL: True", BAGTRICKS),
         "fastreid_resnest50+before_neck"),
    ],
)  # fmt: skip
def test_relatives(tmp_path, text, arch):
    assert read(tmp_path, text).arch == arch


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (changed("[12, 12]", "[11, 11]"), r"MODEL\.STRIDE_SIZE: \[11, 11\]; give --arch"),
        (changed("vit_base", "vit_huge"), r"MODEL\.TRANSFORMER_TYPE: vit_huge"),
        (changed("vit_base", "vit_small"), r"MODEL\.TRANSFORMER_TYPE: vit_small"),
        (changed("50x", "18x", BAGTRICKS), r"MODEL\.BACKBONE\.DEPTH: 18x"),
        (changed("GlobalAvgPool", "Flatten", BAGTRICKS), r"MODEL\.HEADS\.POOL_LAYER: Flatten"),
        (changed("Baseline", "MoCo", BAGTRICKS), r"MODEL\.META_ARCHITECTURE: MoCo"),
        (changed("JPM: True", "FEAT_FUSION: 'cat'"), r"MODEL\.SIE_CAMERA: True"),
        ("MODEL: {NAME: [1]}", r"MODEL\.NAME"),
        ("[1, 2]", "contains a list"),
        ("DATA: 3", "no block MODEL"),
        (changed("[384, 128]", "[384, tall]"), "width is 'tall'"),
        (changed("[384, 128]", "384"), r"INPUT\.SIZE_TEST: 384"),
    ],
)
def test_what_no_network_answers_to_is_named(tmp_path, text, said):
    with pytest.raises(UsageError, match=said):
        read(tmp_path, text)
