"""What an extractor says in its own words, in ours."""

import pytest
from yt_dlp.utils import DownloadError, ExtractorError

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.engines.ytdlp_faults import failure_of


@pytest.mark.parametrize("video", ["a1", "baking-cookies", "password-reset-song", "not-found-live"])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("This video has been removed", FailureReason.UNAVAILABLE),
        ("This video is private", FailureReason.UNAVAILABLE),
        ("Video does not exist", FailureReason.NOTHING_FOUND),
        ("The page could not be found", FailureReason.NOTHING_FOUND),
        ("Log in to see this", FailureReason.NEEDS_LOGIN),
        ("Use --cookies for the authentication", FailureReason.NEEDS_LOGIN),
    ],
)
def test_an_id_is_not_searched_for_words(said: str, reason: FailureReason, video: str) -> None:
    """Y20, Y20b: a removed video of baking cookies is no matter of logging in."""
    error = ExtractorError(said, expected=True, video_id=video, ie="Example")
    assert reason is failure_of(error).reason
    wrapped = DownloadError(f"ERROR: {error}")
    wrapped.__cause__ = error
    assert reason is failure_of(wrapped).reason
