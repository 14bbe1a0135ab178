"""Memory given back: a list of ten thousand objects is a hundred megabytes for a second.

Kopf asks for everything at once, whenever it begins to watch. Python's own allocator never gives such
a peak back, because something small stays in each of its arenas; the C library's does when asked. So
the chart sets `PYTHONMALLOC=malloc`, and this asks.
"""

import asyncio
import ctypes
import ctypes.util
from typing import Final

EVERY: Final = 30.0


async def give_back() -> None:
    """Ask for ever. Does nothing where the C library has no `malloc_trim` (musl)."""
    trim = getattr(ctypes.CDLL(ctypes.util.find_library("c")), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(EVERY)
        trim(0)
