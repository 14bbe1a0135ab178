"""What a test or a person may have go wrong, on purpose."""

from dataclasses import dataclass, field


@dataclass
class Answer:
    """Instead of doing what was asked, so many times."""

    method: str
    path: str
    """A part of the request's path; empty: any."""
    status: int
    times: int = 1
    done: bool = False
    """Whether it is done all the same, and only the answer is an error."""
    html: bool = False
    """Whether the answer is a proxy's page and not Discord's JSON."""
    retry_after: float = 0.0
    is_global: bool = False
    code: int = 0
    """Discord's own number for the error, where it is not that of the status."""
    only_files: bool = False
    """Only requests with files meet it."""


@dataclass
class Faults:
    """Everything that is set to go wrong."""

    answers: list[Answer] = field(default_factory=list)
    mute_heartbeats: bool = False
    """Heartbeats are not acknowledged."""

    def take(self, method: str, path: str, *, files: bool = False) -> Answer | None:
        """The fault that this request, perhaps with files, meets, if any; each is met only so
        often.
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
