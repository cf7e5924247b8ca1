"""What a configuration names is looked at in the order of how soon it can be seen to be wrong."""

import pytest

from auditor.config import reading
from auditor.errors import ModelError, ModelRefusedError, UsageError
from auditor.pipeline.session import audit


def configured(tmp_path, **model):
    flags = {"model": {"path": str(tmp_path / "model.pt"), **model}}
    flags["data"] = {"path": str(tmp_path / "no-such-people")}
    return reading.load(None, flags)


def test_the_model_is_looked_at_before_the_data(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read the model .*model\.pt"):
        audit(configured(tmp_path), tmp_path)
    (tmp_path / "model.pt").write_bytes(b"ftrt" + bytes(100))
    with pytest.raises(ModelRefusedError, match="native code"):
        audit(configured(tmp_path), tmp_path)


def test_so_is_its_training_configuration(tmp_path):
    (tmp_path / "model.pt").write_bytes(bytes([0x80, 2]) * 50)
    with pytest.raises(ModelRefusedError):
        audit(configured(tmp_path), tmp_path)
    (tmp_path / "model.pt").write_bytes(b"PK" * 20)
    with pytest.raises(ModelError):
        audit(configured(tmp_path), tmp_path)
    import safetensors.torch
    import torch

    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "model.pt")
    with pytest.raises(UsageError, match=r"cannot read .*config\.yml"):
        audit(configured(tmp_path, trained_with=str(tmp_path / "config.yml")), tmp_path)
