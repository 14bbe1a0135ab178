"""Memory collected in short pieces: there may be a hundred thousand MediaJobs.

Python's collector looks at everything that is kept whenever a quarter more is kept: with two
million objects that is more than a second in which nothing else happens. What is kept here has no
cycles, so whatever a look has found alive is left out of all later ones, once there is much of it.
Objects of kopf's form cycles and live for a moment; those that are alive when a look leaves things
out are never freed.
"""

import gc
from typing import Any, Final

YOUNG: Final = 2_000
MIDDLE: Final = 4
"""A whole look comes after some 26,000 objects more, and takes some 30 ms where they have left the
processor's caches."""
WORTH: Final = 10_000
"""More objects than that are left out together; fewer are looked at again, beside those that are
new.
"""


def collect_in_pieces() -> None:
    """Have the collector look at what is new only. For a process whose long-lived objects are freed
    by their reference counts; what forms a cycle after it was left out is never freed.
    """
    gc.set_threshold(YOUNG, MIDDLE, 1)
    gc.callbacks.append(_leave_out)


def _leave_out(phase: str, info: dict[str, Any]) -> None:
    if phase == "stop" and info["generation"] == 2 and len(gc.get_objects(2)) > WORTH:
        gc.freeze()
