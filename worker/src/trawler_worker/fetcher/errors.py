"""Why a fetch gave nothing. Each class says what happens next; its sentence is ours.

FetchError
├── IsPlaylist        the address lists several things
├── EngineDeclined    this engine does not do such addresses; the next one may
└── (any reason)      the attempt is over, unless `elsewhere` says that another engine may do better
"""

from trawler_crds.failures import FAILURES, FailureReason
from trawler_crds.media_job import Playlist
from trawler_worker.protocol import Fault


class FetchError(Exception):
    """The attempt ends with this reason; where it is `elsewhere`, only if no other engine has more
    luck. `note` is a word of a fixed list, for whoever runs this: an engine's own code for what
    went wrong.
    """

    def __init__(
        self,
        reason: FailureReason,
        message: str | None = None,
        *,
        retry_after: float | None = None,
        offered_height: int | None = None,
        offered_subtitles: list[str] | None = None,
        playlist: Playlist | None = None,
        elsewhere: bool = False,
        note: str | None = None,
    ) -> None:
        self.reason = reason
        self.elsewhere = elsewhere
        self.proof = False
        """It was found by a check of what had come."""
        self.note = note
        self.retry_after = retry_after
        self.offered_height = offered_height
        self.offered_subtitles = offered_subtitles
        self.playlist = playlist
        self.message = message or FAILURES[reason].sentence
        super().__init__(reason.value)

    def fault(self) -> Fault:
        return Fault(
            reason=self.reason,
            message=self.message,
            retry_after=self.retry_after,
            offered_height=self.offered_height,
            offered_subtitles=self.offered_subtitles,
            playlist=self.playlist,
        )


class IsPlaylist(FetchError):
    """The address is no single thing. None of it was fetched."""

    def __init__(self, playlist: Playlist, *, elsewhere: bool = False) -> None:
        count = f" of {playlist.count} entries" if playlist.count else ""
        said = f"This is a list{count}. Ask for one of them."
        super().__init__(FailureReason.PLAYLIST, said, playlist=playlist, elsewhere=elsewhere)


class EngineDeclined(FetchError):
    """This engine does not take the address; if none does, this is the reason."""

    def __init__(
        self, reason: FailureReason, message: str | None = None, *, note: str | None = None
    ) -> None:
        super().__init__(reason, message, elsewhere=True, note=note)
