"""Lets Triton's Python stub of release 24.10 create arrays under numpy 2.

That stub is compiled against numpy 1. Almost all of numpy's C interface is unchanged, but the item size of a dtype
has moved (https://numpy.org/doc/stable/numpy_2_0_migration_guide.html#c-api-changes). The stub reads 0 and asks for
arrays whose strides are all 0, so every string tensor arrives as its first byte repeated. numpy 1 itself is no
alternative: it has no release for Python 3.13. The stub always means C-contiguous arrays, which numpy makes when it
gets no strides. So this module wraps the one function that the stub creates arrays with, and drops the strides.

Stubs compiled against numpy 2 take the interface from `numpy._core.multiarray` and never see this.
"""

from __future__ import annotations

import ctypes
import warnings
from typing import Any

# Slot of PyArray_NewFromDescr in the table of both numpy 1 and 2 (numpy/_core/code_generators/numpy_api.py).
_NEW_FROM_DESCR = 94
_LAST_SLOT_OF_NUMPY_1 = 306

# PyObject *(PyTypeObject *subtype, PyArray_Descr *descr, int nd, npy_intp *dims, npy_intp *strides, void *data,
#            int flags, PyObject *base)
_NewFromDescr = ctypes.PYFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_void_p,
)
_kept_alive: list[Any] = []


def offer_numpy_1_interface() -> None:
    """Replace the array interface that a stub compiled against numpy 1 looks up. Call it before it makes an array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        # the place where numpy 1 had it, and where numpy 2 keeps a forwarding module
        import numpy.core.multiarray as legacy  # noqa: PLC0415

    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    new_capsule = ctypes.pythonapi.PyCapsule_New
    new_capsule.restype = ctypes.py_object
    new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

    slots = ctypes.c_void_p * (_LAST_SLOT_OF_NUMPY_1 + 1)
    table = slots.from_buffer_copy(slots.from_address(get_pointer(legacy._ARRAY_API, None)))
    new_from_descr = _NewFromDescr(table[_NEW_FROM_DESCR] or 0)

    def without_strides(
        subtype: int, descr: int, nd: int, dims: int, _strides: int, data: int, flags: int, base: int
    ) -> int | None:
        made: int | None = new_from_descr(subtype, descr, nd, dims, None, data, flags, base)
        return made

    callback = _NewFromDescr(without_strides)
    table[_NEW_FROM_DESCR] = ctypes.cast(callback, ctypes.c_void_p).value
    _kept_alive.extend((table, callback))
    legacy._ARRAY_API = new_capsule(ctypes.addressof(table), None, None)
