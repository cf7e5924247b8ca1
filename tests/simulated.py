"""A device without hardware: it computes on the CPU and refuses what a GPU refuses.

Tensors of two devices in one operation are an error, and so is a CPU generator for what is made on
the device. What the host reads is counted; on a GPU each time makes it wait, so a training step
that reads anything is an error, too. Torch's own support for backends written in Python does the
rest.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

backend_registration._setup_privateuseone_for_python_backend("simulated")

DEVICE = torch.device("simulated:0")
aten = torch.ops.aten
BETWEEN_DEVICES = (aten.copy_.default, aten._to_copy.default)
"""Operations that carry a tensor from one device to another."""
INDEXING = (
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
)
"""Operations whose indices may lie on the CPU, as CUDA has it."""


class SimulatedTensor(Tensor):
    """A tensor said to be on the device; ``inner`` has its values."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "SimulatedTensor":
        """Wrap ``inner``, which is on the CPU."""
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})

    def __repr__(self) -> str:
        return f"SimulatedTensor({self.inner})"


class Simulation(TorchDispatchMode):
    """Sends to the simulated device what is asked of it.

    Attributes:
        reads: how many values the host has read.
        taken: how many tensors it has taken from the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.taken = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(leaf, SimulatedTensor) for leaf in leaves) and not _asked(kwargs):
            return func(*args, **kwargs)
        self.reads += func is aten._local_scalar_dense.default
        self.taken += _leaves(func, args, kwargs)
        return compute(func, args, kwargs)


def _asked(kwargs: dict[str, Any]) -> bool:
    device = kwargs.get("device")
    return device is not None and torch.device(device).type == DEVICE.type


def _leaves(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Return whether an operation carries a tensor from the device to the CPU."""
    if func is aten.copy_.default:
        target, source = args[:2]
        return isinstance(source, SimulatedTensor) and not isinstance(target, SimulatedTensor)
    return func is aten._to_copy.default and kwargs.get("device") is not None and not _asked(kwargs)


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operation on the CPU, if a GPU would."""
    leaves = tree_leaves((args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, SimulatedTensor)]
    given = kwargs.get("device")
    leaves_device = given is not None and not _asked(kwargs)
    if func not in BETWEEN_DEVICES:
        _refuse_mixed(func, leaves, there)
    if not leaves_device:
        _refuse_cpu_generators(func, leaves)
    plain_args, plain = tree_map_only(SimulatedTensor, lambda x: x.inner, (args, kwargs))
    if given is not None:
        plain = {**plain, "device": torch.device("cpu")}
    made = func(*plain_args, **plain)
    if leaves_device:
        return made.clone() if made is plain_args[0] else made
    # what an operation changed in place is the tensor that it was given
    known = {id(tensor.inner): tensor for tensor in there}
    return tree_map_only(
        Tensor, lambda x: known[id(x)] if id(x) in known else SimulatedTensor(x), made
    )


def _refuse_mixed(func: Any, leaves: list[Any], there: list[SimulatedTensor]) -> None:
    # a CPU tensor without dimensions counts as a number
    here = [
        x for x in leaves if type(x) is not SimulatedTensor and isinstance(x, Tensor) and x.ndim
    ]
    if there and here and func not in INDEXING:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, "
            f"{DEVICE} and cpu! (in {func})"
        )


def _refuse_cpu_generators(func: Any, leaves: list[Any]) -> None:
    if any(isinstance(leaf, torch.Generator) and leaf.device.type == "cpu" for leaf in leaves):
        raise RuntimeError(
            f"Expected a {DEVICE.type!r} device type for generator but found 'cpu' (in {func})"
        )


factories = torch.library.Library("aten", "IMPL")


@torch.library.impl(factories, "empty.memory_format", "PrivateUse1")
def _empty(size, *, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    return SimulatedTensor(torch.empty(size, dtype=dtype, memory_format=memory_format))


@torch.library.impl(factories, "empty_strided", "PrivateUse1")
def _empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None):
    return SimulatedTensor(torch.empty_strided(size, stride, dtype=dtype))


@torch.library.impl(factories, "_copy_from", "PrivateUse1")
def _copy_from(source, target, non_blocking=False):
    _values(target).copy_(_values(source))
    return target


def _values(tensor: Tensor) -> Tensor:
    return tensor.inner if isinstance(tensor, SimulatedTensor) else tensor


@contextmanager
def simulation() -> Iterator[Simulation]:
    """Inside, tensors and networks can be moved to the device."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    # a parameter on the device is another kind of tensor, so its data alone cannot be exchanged
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with Simulation() as running:
            yield running
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


class SimulatedAccelerator(CPUAccelerator):
    """Lightning's own, which would refuse the device."""

    def setup_device(self, device: torch.device) -> None:
        """There is nothing to set up."""


@contextmanager
def without_waiting() -> Iterator[None]:
    """Inside, the host neither reads values nor takes tensors from the device."""
    with Simulation() as running:
        yield
    assert not running.reads + running.taken, "the host waited for the device"


class SimulatedStrategy(SingleDeviceStrategy):
    """Lightning's own, with steps that never make the host wait."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """See the base class."""
        with without_waiting():
            return super().training_step(*args, **kwargs)


def hardware(device: torch.device, devices: int, num_nodes: int) -> dict[str, Any]:
    """What a Lightning Trainer needs in order to train there; as `auditor.training.loop` has it."""
    strategy = SimulatedStrategy(device=device, accelerator=SimulatedAccelerator())
    return {"strategy": strategy, "devices": 1}
