"""When another engine is asked after one that failed, and which of several failures a person reads.
Pure.
"""

from collections.abc import Sequence
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError

_R = FailureReason
TELLING: Final = (
    *(_R.PLAYLIST, _R.UNAVAILABLE, _R.TOO_LARGE, _R.THROTTLED, _R.NEEDS_LOGIN, _R.NOTHING_FOUND),
    *(_R.TOO_SLOW, _R.SITE_ERROR, _R.INTERNAL, _R.NOT_SUPPORTED),
)
"""The more telling reason first: that a video is private says more than that an engine could not
read its page. What passes by itself comes before a login: a later attempt may have more luck.
"""


def most_telling(failures: Sequence[FetchError]) -> FetchError:
    """The failure that says most about the address; of equals the first. Raises ValueError where
    there is none.
    """
    return min(failures, key=_rank)


def _rank(error: FetchError) -> int:
    return TELLING.index(error.reason) if error.reason in TELLING else -1
