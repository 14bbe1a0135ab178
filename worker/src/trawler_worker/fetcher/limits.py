"""The failure of whatever is larger than a job may fetch."""

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import Limits
from trawler_worker.fetcher.errors import FetchError


def too_large(limits: Limits) -> FetchError:
    """More bytes than the job may fetch."""
    return FetchError(
        FailureReason.TOO_LARGE, f"This is larger than the {limits.max_bytes} bytes allowed."
    )
