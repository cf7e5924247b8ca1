"""What is said about where an audit ran, and whether it repeats."""

import torch

from auditor.pipeline.environment import describe, determinism

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_determinism_is_asked_for_on_a_gpu_and_given_back_afterwards():
    assert not torch.are_deterministic_algorithms_enabled()
    with determinism(GPU, wanted=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_nothing_changes_on_a_cpu_or_where_it_is_not_wanted():
    for device, wanted in ((CPU, True), (GPU, False)):
        with determinism(device, wanted=wanted):
            assert not torch.are_deterministic_algorithms_enabled()


def test_the_record_says_whether_a_repetition_comes_to_the_same_figures():
    assert describe(CPU)["repeats"].startswith("exactly")
