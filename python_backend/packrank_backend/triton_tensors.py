"""Triton's tensors <-> numpy arrays. Importable only inside Triton's Python backend.

Numbers go through DLPack, which shares memory where `as_numpy()` copies, and which does not depend on the numpy that
the backend's stub was compiled against (see `numpy_abi`). DLPack has no strings.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from packrank_backend.numpy_abi import offer_numpy_1_interface

offer_numpy_1_interface()

_CONSUMED = ctypes.c_char_p(b"used_dltensor")
_set_capsule_name = ctypes.pythonapi.PyCapsule_SetName
_set_capsule_name.argtypes = [ctypes.py_object, ctypes.c_char_p]


def array_from_tensor(request: Any, name: str) -> NDArray[Any]:
    """A numeric input of a request as an array that shares its memory."""
    return np.from_dlpack(pb_utils.get_input_tensor_by_name(request, name))


def texts_from_tensor(request: Any, name: str) -> NDArray[np.object_]:
    """A BYTES input of a request as an array of `bytes` objects."""
    texts: NDArray[np.object_] = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return texts


def tensor_from_array(name: str, array: NDArray[Any]) -> Any:
    """An output tensor that shares the array's memory, if the array may be written."""
    # an input is read-only, and numpy exports only what may be written: a copy of it then
    capsule = np.require(array, requirements=("C", "W")).__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # Whoever takes a capsule's content renames it so (https://dmlc.github.io/dlpack/latest/python_spec.html). Triton
    # writes "used_dlpack", and numpy, seeing an unknown name, prints a ValueError for every tensor.
    _set_capsule_name(capsule, _CONSUMED)
    return tensor
