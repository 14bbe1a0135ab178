"""What the one message of a job says at each moment, and what is offered to press. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from trawler_bot import texts
from trawler_bot.texts import Key, Language, say, size, span
from trawler_common.plain import clean
from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaFile, MediaJob, MediaKind, Phase
from trawler_crds.messages import Place, Progress, Stage

TITLE: Final = 200
"""Bytes of a title that are shown."""
CONTENT: Final = 2000
"""Characters of a message (docs, Create Message)."""
LINK: Final = 1000
"""Characters of an address that are shown; longer ones are mostly tokens."""
CUSTOM_ID: Final = "trawler"
_MARKDOWN: Final = re.compile(r"([\\*_~|`>\[\]()#\-+.!])")
_PINGS: Final = re.compile(r"@(?=everyone|here)|<(?=[@#!/:a-zA-Z])")


class Act(StrEnum):
    """What a button does; the word in its custom_id."""

    CANCEL = "cancel"
    RETRY = "retry"
    SMALLER = "smaller"
    AUDIO = "audio"
    REMOVE = "remove"
    ASK = "ask"
    """Again what could not be taken; the number of the first try in place of a job."""


LABELS: Final = {
    Act.CANCEL: Key.BUTTON_CANCEL,
    Act.RETRY: Key.BUTTON_RETRY,
    Act.SMALLER: Key.BUTTON_SMALLER,
    Act.AUDIO: Key.BUTTON_AUDIO,
    Act.REMOVE: Key.BUTTON_REMOVE,
    Act.ASK: Key.BUTTON_TRY_AGAIN,
}


@dataclass(frozen=True)
class Button:
    """A press is told by its custom_id alone, so that it survives every restart."""

    label: str
    custom_id: str


@dataclass(frozen=True)
class Reply:
    """Text and buttons; files are `fitting`'s."""

    content: str
    buttons: tuple[Button, ...] = ()
    thumbnail: str | None = None


def custom_id(act: Act, job: str) -> str:
    """`trawler:cancel:d-123`: at most a hundred characters."""
    return f"{CUSTOM_ID}:{act}:{job}"


def parse(text: str) -> tuple[Act, str] | None:
    """The act and the MediaJob's name of a press; None where it is not ours."""
    words = text.split(":", 2)
    if len(words) != 3 or words[0] != CUSTOM_ID or words[1] not in set(Act):
        return None
    return Act(words[1]), words[2]


def harmless(text: str, limit: int = TITLE) -> str:
    """A stranger's words as words: no markup, no ping, no line break, no more than fits."""
    return _PINGS.sub(
        lambda m: m.group() + "\u200b", _MARKDOWN.sub(r"\\\1", clean(text, limit=limit))
    )


def waiting(job: MediaJob, to: Language, place: Place | None = None) -> Reply:
    """Not begun yet."""
    if place is None:
        state = say(to, Key.WAITING)
    elif place.seconds is None:
        state = say(to, Key.WAITING_AT, place=place.place)
    else:
        time = span(place.seconds)
        state = say(to, Key.WAITING_ABOUT, place=place.place, time=time)
    return _reply(job, to, state, (Act.CANCEL,))


def running(job: MediaJob, to: Language, progress: Progress | None = None) -> Reply:
    """A pod has it. Progress of an earlier attempt says nothing any more."""
    if progress is None or progress.attempt != job.status.attempt:
        return _reply(job, to, say(to, Key.STARTING), (Act.CANCEL,))
    state = say(to, texts.STAGES[progress.stage])
    if progress.stage is Stage.FETCHING:
        state = " · ".join([state, *_figures(progress, to)])
    found = _reply(job, to, state, (Act.CANCEL,), title=progress.title)
    where = job.spec.delivery.discord if job.spec.delivery else None
    hidden = where is not None and where.spoiler
    return replace(found, thumbnail=None if hidden else _picture(progress.thumbnail))


def _picture(address: str | None) -> str | None:
    """Only what Discord takes as a picture's address."""
    return (
        address
        if address and address.startswith("https://") and not addresses.fault(address)
        else None
    )


def _figures(progress: Progress, to: Language) -> list[str]:
    """Percent, size, speed and time left, as far as each is known."""
    done, total, rate = progress.bytes, progress.total, progress.rate
    found = []
    if total:
        found.append(f"{min(100, done * 100 // total)} %")
        found.append(say(to, Key.OF, done=size(to, done), total=size(to, total)))
    elif done:
        found.append(size(to, done))
    if rate:
        found.append(f"{size(to, int(rate))}/s")
        if total and done < total:
            found.append(say(to, Key.LEFT, time=span((total - done) / rate)))
    return found


def ended(
    job: MediaJob,
    to: Language,
    *,
    too_large: Sequence[MediaFile],
    links: Mapping[str, str],
    limit: int,
) -> Reply:
    """The last edit. What does not fit becomes a link, else it is named with its size and what can be
    done about it.
    """
    if job.status.phase is not Phase.SUCCEEDED:
        return failed(job, to)
    lines = [_too_large(file, to, links.get(file.sha256), limit) for file in too_large]
    video = any(file.type.startswith("video/") for file in job.status.files or ())
    acts = [Act.RETRY]
    if video and job.spec.media.kind is not MediaKind.AUDIO:
        acts += [Act.SMALLER, Act.AUDIO]
    if not job.status.files:
        lines.append(say(to, Key.DONE_WITHOUT_FILES))
    return _reply(job, to, "\n".join(lines), (*acts, Act.REMOVE))


def _too_large(file: MediaFile, to: Language, link: str | None, limit: int) -> str:
    return say(
        to,
        Key.TOO_LARGE_HERE if link is None else Key.TOO_LARGE_LINK,
        name=clean(file.name, limit=80).replace("`", "'"),
        size=size(to, file.bytes),
        limit=size(to, limit),
        link=link,
    )


def gone(job: MediaJob, to: Language) -> Reply:
    """Deleted by whoever runs the cluster: nothing can be pressed any more."""
    return _reply(job, to, say(to, Key.FORGOTTEN), ())


def failed(job: MediaJob, to: Language) -> Reply:
    """Why, and what to do next; never an exception's text."""
    if job.status.phase is Phase.CANCELLED:
        return _reply(job, to, say(to, Key.CANCELLED), (Act.RETRY, Act.REMOVE))
    reason = job.status.reason or FailureReason.INTERNAL
    acts = [Act.RETRY]
    if reason in {FailureReason.TOO_LARGE, FailureReason.TOO_LONG, FailureReason.OUT_OF_MEMORY}:
        acts += [Act.SMALLER, Act.AUDIO]
    words = texts.why(to, reason)
    if reason is FailureReason.INTERNAL:  # by it whoever runs the bot finds job, logs and trace
        words += "\n" + say(to, Key.REFERENCE, name=job.name)
    return _reply(job, to, words, (*acts, Act.REMOVE))


def _source(job: MediaJob) -> str:
    """The link without a preview; of one that would fill the message only where it leads."""
    url = job.spec.url
    # within the brackets an address must not hold one: what follows would be markup of ours
    plain = url.replace("<", "%3C").replace(">", "%3E")
    if len(plain) <= LINK:
        return f"<{plain}>"
    try:
        return harmless(addresses.parse(url).authority)
    except addresses.BadAddress:  # somebody with kubectl asked for it; the operator refuses it
        return harmless(url[:LINK])


def _reply(
    job: MediaJob, to: Language, state: str, acts: tuple[Act, ...], *, title: str | None = None
) -> Reply:
    source = job.status.source
    title = harmless((source.title if source is not None else None) or title or "")
    head = f"**{title}** {_source(job)}" if title else _source(job)
    room = CONTENT - len(head) - 1
    content = f"{head}\n{state[:room]}" if state else head
    buttons = tuple(Button(say(to, LABELS[act]), custom_id(act, job.name)) for act in acts)
    return Reply(content[:CONTENT], buttons)
