"""Triton's tensors <-> numpy arrays.

Numbers go through DLPack, which shares memory where `as_numpy()` copies. It does not depend on the numpy that the
backend's stub was compiled against (numpy_abi.py). DLPack has no strings.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from packrank_backend.triton.numpy_abi import offer_numpy_1_interface

offer_numpy_1_interface()

_CONSUMED = ctypes.c_char_p(b"used_dltensor")
_set_capsule_name = ctypes.pythonapi.PyCapsule_SetName
_set_capsule_name.argtypes = [ctypes.py_object, ctypes.c_char_p]


def array_from_tensor(request: Any, name: str) -> NDArray[Any]:
    """Read a numeric input of a request; the array shares its memory."""
    return np.from_dlpack(pb_utils.get_input_tensor_by_name(request, name))


def texts_from_tensor(request: Any, name: str) -> NDArray[np.object_]:
    """Read a BYTES input of a request as an array of `bytes` objects."""
    texts: NDArray[np.object_] = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return texts


def tensor_from_array(name: str, array: NDArray[Any]) -> Any:
    """Make an output tensor that shares the array's memory, or a copy's if the array is an input and so read-only."""
    capsule = np.require(array, requirements=("C", "W")).__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # A consumer must rename the capsule to this (https://dmlc.github.io/dlpack/latest/python_spec.html). Triton renames
    # it to "used_dlpack", and numpy then prints a ValueError about the unknown name for every tensor.
    _set_capsule_name(capsule, _CONSUMED)
    return tensor
