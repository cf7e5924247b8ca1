"""What is said about where an audit ran, and whether it repeats."""

import json

import pytest
import torch

from auditor.errors import EnvironmentUnmetError
from auditor.pipeline.environment import (
    describe,
    determinism,
    require_device,
    save_occasion,
    save_queries,
    spent_queries,
)
from auditor.plugins.shared_state import restore_shared_state
from tests import worlds

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_determinism_is_asked_for_on_a_gpu_and_given_back_afterwards():
    assert not torch.are_deterministic_algorithms_enabled()
    with determinism(GPU, wanted=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_plug_in_leaves_an_operation_without_such_an_algorithm_a_warning():
    with determinism(GPU, wanted=True), restore_shared_state(worlds.people()):
        torch.use_deterministic_algorithms(False)
    assert not torch.are_deterministic_algorithms_enabled()
    with determinism(GPU, wanted=True):
        with restore_shared_state(worlds.people()):
            torch.use_deterministic_algorithms(False)
        assert torch.is_deterministic_algorithms_warn_only_enabled()


def test_nothing_changes_on_a_cpu_or_where_it_is_not_wanted():
    for device, wanted in ((CPU, True), (GPU, False)):
        with determinism(device, wanted=wanted):
            assert not torch.are_deterministic_algorithms_enabled()


def test_a_device_that_does_not_answer_any_more_ends_the_command_with_a_line():
    require_device(CPU)
    with pytest.raises(EnvironmentUnmetError, match=r"^meta does not answer any more \(.*the same"):
        require_device(torch.device("meta"))


def test_a_device_whose_memory_others_have_taken_is_not_lost(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "ones", full)
    require_device(GPU)


def test_the_record_says_whether_a_repetition_comes_to_the_same_figures():
    assert describe(CPU)["repeats"].startswith("exactly")


@pytest.mark.parametrize(
    "damage", ["", "{", "3", "[]", '{"earlier": 3}', "[" * 10_000, '{"queries": {"target": 1e999}}']
)
def test_a_run_goes_on_although_its_occasion_is_damaged(tmp_path, damage):
    path = tmp_path / "run.json"
    path.write_text(damage)
    assert spent_queries(path) == {}
    save_occasion(path, {}, going_on=True, command="audit run")
    assert json.loads(path.read_bytes())["command"] == "audit run"
    path.write_text(damage)
    save_queries(path, {"target": 3})
    assert spent_queries(path) == {"target": 3}
