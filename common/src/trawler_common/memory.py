"""Memory that is free again, given back to the node.

Python's own allocator keeps a peak for good, because something small stays in each mebibyte that it
took; the C library's gives it back when asked. So the chart sets `PYTHONMALLOC=malloc` for
services, and this asks.
"""

import asyncio
import ctypes
import ctypes.util
import linecache
from typing import Final

EVERY: Final = 30.0
"""Seconds between two times."""


async def give_back() -> None:
    """Ask for ever; not where the C library has no `malloc_trim` (musl). Whole source files, which
    Python keeps from the first exception that is written down with its lines, go before.
    """
    trim = getattr(ctypes.CDLL(ctypes.util.find_library("c")), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(EVERY)
        linecache.clearcache()
        trim(0)
