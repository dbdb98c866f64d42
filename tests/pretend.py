"""A pretended second device: tensors that say they are on "meta", and hold their numbers on the CPU.

Inside `Pretend()`, an operation on tensors of two devices is an error, as with a real GPU, and so is
a float64 on the device, as on Apple's. (It is called "meta" because torch would look for a driver
behind any other name.) Unlike torch's fake tensors these hold numbers, so that code which looks at
one (is it finite? how many are dead?) runs as it would.
"""

import os
from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

MOVES = {"_to_copy", "copy_", "_local_scalar_dense", "equal"}
"""Operations that may read from one device and write to another."""

REAL = os.environ.get("SSAE_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else None)
"""A real device, where there is one; the variable names another, such as "mps"."""

needs_gpu = pytest.mark.skipif(REAL is None, reason="torch sees no CUDA GPU on this machine")

DEVICES = ["meta", pytest.param(REAL or "cuda", marks=needs_gpu)]
"""The pretended GPU, and a real one."""

INDEXED = {"index", "index_put_", "_index_put_impl_"}
"""Operations that take indices on the CPU for what is on the GPU, but not the other way round."""


class OnGpu(torch.Tensor):
    """A tensor that pretends."""

    @staticmethod
    def __new__(cls, held):
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device="meta"
        )
        made.held = held
        return made

    def __repr__(self):
        return f"OnGpu({self.held})"

    @classmethod
    def __torch_dispatch__(cls, function, _types, args=(), kwargs=None):
        return run(function, args, kwargs or {})


class GpuGenerator(torch.Generator):
    """A stream of random numbers that may pretend to be drawn on the device."""

    far = {}
    """Those that do, by address: torch hands operations another Python object of the same."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        if torch.device(device).type == "meta":
            cls.far[made._cdata] = made
        return made


def on_gpu(module):
    """Move a module to the pretended GPU, in place."""
    for part in module.modules():
        for name, value in list(part._parameters.items()):
            if value is not None:
                held = torch.nn.Parameter(OnGpu(value.detach()), value.requires_grad)
                part._parameters[name] = held
        for name, value in list(part._buffers.items()):
            part._buffers[name] = OnGpu(value)
    return module


def moved(module, device):
    """Move a module to a real GPU or the pretended one, in place."""
    return on_gpu(module) if device == "meta" else module.to(device)


def on(device):
    """Where tensors may be made on a device: the pretended one exists in a block only."""
    return Pretend() if device == "meta" else nullcontext()


class Pretend(TorchDispatchMode):
    """Where tensors may be made on "meta", and hold numbers there."""

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        return run(function, args, kwargs or {})


def run(function, args, kwargs):
    """Run on the CPU what is asked for on a device; wrap the results."""
    name = function.overloadpacket.__name__
    args, kwargs = tree_map(_held_if_empty, (args, kwargs))
    given = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
    asked = kwargs.get("device")
    on_gpu = [isinstance(tensor, OnGpu) for tensor in given]
    large = {isinstance(tensor, OnGpu) for tensor in given if tensor.dim()}
    may_mix = name in MOVES or (name in INDEXED and isinstance(args[0], OnGpu))
    if len(large) > 1 and not may_mix:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found two: {name}")
    generator = kwargs.get("generator")
    to_gpu = torch.device(asked).type == "meta" if asked is not None else any(on_gpu)
    if name == "copy_":
        to_gpu = on_gpu[0]
    is_far = generator is not None and generator._cdata in GpuGenerator.far
    if generator is not None and is_far != to_gpu:
        raise RuntimeError("Expected a generator of the device on which numbers are drawn")
    bare = tree_map(lambda t: t.held if isinstance(t, OnGpu) else t, (args, kwargs))
    if asked is not None:
        bare[1]["device"] = torch.device("cpu")
    found = function(*bare[0], **bare[1])
    if to_gpu and any(_is_double(value) for value in tree_flatten(found)[0]):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as MPS has none")
    same = {id(t.held): t for t in given if isinstance(t, OnGpu)}

    def wrap(value):
        if not isinstance(value, torch.Tensor) or isinstance(value, OnGpu):
            return value
        if id(value) in same:  # what was changed in place is still itself
            return same[id(value)]
        return OnGpu(value) if to_gpu else value

    return tree_map(wrap, found)


def _is_double(value):
    return isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128)


def _held_if_empty(value):
    """`torch.tensor([], device=...)` makes a tensor that is really on "meta"; it holds nothing."""
    if isinstance(value, OnGpu) or not isinstance(value, torch.Tensor):
        return value
    is_far = value.is_meta and value.numel() == 0
    return OnGpu(torch.empty(value.shape, dtype=value.dtype)) if is_far else value
