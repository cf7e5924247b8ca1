"""Frees a TorchScript program from the GPU that it was traced on.

Tracing writes the device of every tensor that a network makes for itself into the program, and
loading moves parameters only. So a program that was traced on a GPU asks for one wherever it runs.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import torch


def move_constants(program: torch.jit.ScriptModule, device: torch.device) -> None:
    """Let a program make its tensors on ``device`` where it would make them on a GPU."""
    nodes = [node for graph in _graphs(program) for node in _gpus(graph)]
    if not nodes:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced: Any = torch.jit.trace(lambda: torch.ones([], device=device), [])
    wanted = _constants(traced.graph)[0]
    for node in nodes:
        node.copyAttributes(wanted)


def _graphs(program: Any) -> Iterator[Any]:
    for module in program.modules():
        for name in module._c._method_names():
            yield module._c._get_method(name).graph


def _constants(graph: Any) -> list[Any]:
    nodes: list[Any] = graph.findAllNodes("prim::Constant")
    return [node for node in nodes if str(node.output().type()) == "Device"]


def _gpus(graph: Any) -> list[Any]:
    return [node for node in _constants(graph) if node.output().toIValue().type == "cuda"]
