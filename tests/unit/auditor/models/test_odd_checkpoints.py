"""What training leaves behind and people give: its network is audited, or what it is is said."""

from collections import OrderedDict

import pytest
import torch

from auditor.errors import ModelError
from auditor.models.inspection.describe import inspect, lines
from tests.unit.auditor.models.test_wrappers import LIGHTNING, OPTIMIZER, named, network, opened

NET = network()
BARE = {"bias": torch.zeros(2), "w": torch.zeros(2, 2, device="meta")}
FORGED = "\x1b[2J\nverdict: PASS"


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ({"state": {"model": {"net": {"module": NET}}}}, {}),
        (named("module.", NET), {}),
        (LIGHTNING, {}),
        ({"state_dict": NET, "optimizer": OPTIMIZER}, {}),
        ({"state_dict": network(1), "state_dict_ema": NET}, {"weights_key": "state_dict_ema"}),
        ({"model": network(1), "ema": {"shadow": NET, "decay": 0.9}}, {"weights_key": "ema"}),
        ({n: t.half() if t.is_floating_point() else t for n, t in NET.items()}, {}),
        ({n: t.bfloat16() if t.is_floating_point() else t for n, t in NET.items()}, {}),
    ],
    ids=["nested", "ddp", "lightning", "optimizer beside", "ema", "shadow", "half", "bfloat16"],
)
def test_the_network_is_found(tmp_path, content, options):
    images = torch.rand(2, 3, 16, 8, generator=torch.Generator().manual_seed(0))
    found = opened(tmp_path, content, **options).extractor(images)
    wanted = opened(tmp_path, NET).extractor(images)
    assert torch.allclose(found, wanted, atol=0.02)  # half precision rounds the weights
    assert inspect(tmp_path / "model.ckpt").tensors >= len(NET)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (OPTIMIZER, "the state of an optimizer and no network"),
        ({}, "contains an empty dict, no state dict"),
        (OrderedDict(), "contains an empty dict, no state dict"),
        (list(NET.values()), "contains a list, no state dict"),
        (torch.zeros(3), "contains a Tensor, no state dict"),
        ({"state_dict": network(1), "state_dict_ema": NET}, "contains 2 networks that fit"),
        ({f"other.{n}": t for n, t in list(NET.items())[:1]}, "wrong architecture"),
        (BARE, "the weight 'w' is sparse, nested, quantised or without content"),
        ({FORGED: torch.zeros(2), "x" * 5000: torch.zeros(2)}, "wrong architecture"),
        ({FORGED: 1, "x" * 5000: 2}, "no state dict"),
    ],
    ids=[
        *("optimizer", "empty", "empty, ordered", "list", "tensor", "ema", "part", "meta"),
        *("forged names", "forged keys"),
    ],
)
def test_what_is_no_network_is_said(tmp_path, content, said):
    with pytest.raises(ModelError, match=said) as refused:
        opened(tmp_path, content)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_what_was_cut_short(tmp_path):
    opened(tmp_path, NET)
    path = tmp_path / "model.ckpt"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelError, match="its end is missing, as after an interrupted copy"):
        inspect(path)


def test_tensors_in_a_list_are_counted(tmp_path):
    path = tmp_path / "model.pth"
    torch.save([torch.zeros(2, 3), {"x": torch.zeros(())}], path)
    shown = list(lines(inspect(path)))
    assert "2 tensors, 7 parameters" in shown
    assert {"  0: float 2 × 3", "  1.x: float scalar"} <= set(shown)
