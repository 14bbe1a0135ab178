"""What pods say of themselves, put on the board."""

import time

from trawler_crds import subjects
from trawler_crds.messages import Presence, Seen
from trawler_operator.state.board import Board


class PresenceDesk:
    """Answers presences. A pod the API server has not shown yet is heard again in a moment."""

    def __init__(self, board: Board) -> None:
        self._board = board

    async def hear(self, subject: str, presence: Presence) -> Seen | None:
        """No answer where the pod is not known: it repeats at once."""
        known = self._board.hear(subjects.sender(subject).pod, presence, time.monotonic())
        return Seen() if known else None
