"""Bytes to be read into, without the zeros that `bytes(length)` writes first.

For a picture in the page cache these take half as long as reading it.
"""

import ctypes
from collections.abc import Callable

raw_bytes: Callable[[None, int], bytes] = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)
"""Given None and a length, bytes whose content is whatever was in that memory: all of it must be written, or cut off.

https://docs.python.org/3/c-api/bytes.html#c.PyBytes_FromStringAndSize
"""
