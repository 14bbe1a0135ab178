"""What pods say of themselves, put in the cluster state."""

import time

from trawler_crds import subjects
from trawler_crds.messages import Presence, Seen
from trawler_operator.state.cluster_state import ClusterState


class PresenceHandler:
    """Answers presences. A pod the API server has not shown yet is heard again in a moment."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    async def hear(self, subject: str, presence: Presence) -> Seen | None:
        """No answer where the pod is not known: it repeats at once."""
        known = self._state.hear(subjects.sender(subject).pod, presence, time.monotonic())
        return Seen() if known else None
