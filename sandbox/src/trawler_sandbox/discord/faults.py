"""Faults that a test or a user injects."""

from dataclasses import dataclass, field


@dataclass
class Answer:
    """An answer that replaces the real one, a limited number of times."""

    method: str
    path: str
    """A part of the request's path; empty: any path."""
    status: int
    times: int = 1
    done: bool = False
    """Whether the request is executed all the same, and only its answer is an error."""
    html: bool = False
    """Whether the answer is a proxy's HTML page instead of Discord's JSON."""
    retry_after: float = 0.0
    is_global: bool = False
    code: int = 0
    """Discord's error code, if it is not the default for the status."""
    only_files: bool = False
    """Whether it applies only to requests with files."""


@dataclass
class Faults:
    """All injected faults."""

    answers: list[Answer] = field(default_factory=list)
    mute_heartbeats: bool = False
    """Whether heartbeats stay unacknowledged."""

    def take(self, method: str, path: str, *, files: bool = False) -> Answer | None:
        """The fault that applies to this request, if any; counts one use of it. `files`: whether
        the request has files.
        """
        for fault in self.answers:
            if (
                fault.method in {method, "*"}
                and fault.path in path
                and fault.times > 0
                and (files or not fault.only_files)
            ):
                fault.times -= 1
                return fault
        return None
