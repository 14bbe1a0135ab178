"""Renders the first message of a job in each state: its text, its buttons and its menu. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from trawler_bot.jobs import quality
from trawler_bot.presentation import i18n
from trawler_bot.presentation.i18n import Key, Language, say, size, span
from trawler_common.text import sanitize
from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import (
    MOST_ENTRIES,
    DiscordDelivery,
    EngineName,
    MediaFile,
    MediaJob,
    MediaKind,
    Phase,
    Playlist,
    PlaylistEntry,
)
from trawler_crds.messages import Place, Progress, Stage

TITLE: Final = 200
"""Maximum bytes of a shown title."""
CONTENT: Final = 1900
"""Maximum characters of our text: a message may have 2,000 (docs, Create Message), and the credit
is added to it.
"""
LEFT_OUT: Final = 40
"""Characters reserved for the line that counts omitted lines."""
LINK: Final = 1000
"""Maximum characters of a shown address; longer ones are mostly tokens."""
ADULT: Final = 18
"""Age limit from which media are restricted to age-restricted channels (docs, Age-Restricted
Channels).
"""
CUSTOM_ID: Final = "trawler"
ENTRY: Final = "entry"
"""Marks the menu of a link's entries in its custom_id."""
LABEL: Final = 100
"""Maximum characters of an option (docs, String Select)."""
MOST_AT_ONCE: Final = 5
"""Maximum number of downloads that one choice starts."""
LANGUAGES: Final = 15
"""Maximum number of subtitle languages that are named."""
_MARKDOWN: Final = re.compile(r"([\\*_~|`>\[\]])|(?<=:)(?=//)|(?<=discord)(?=\.)", re.IGNORECASE)
"""What Discord's markdown would parse as markup, a link or an invite. Other text stays as it is:
characters with a meaning at the beginning of a line never stand there.
"""
_PINGS: Final = re.compile(r"@(?=everyone|here)|<(?=[@#!/:a-zA-Z])")


class Act(StrEnum):
    """What a button does; the value is the word in its custom_id."""

    CANCEL = "cancel"
    RETRY = "retry"
    SMALLER = "smaller"
    AUDIO = "audio"
    VIDEO = "video"
    REMOVE = "remove"
    FIRST = "first"
    """Download the first entry that a link lists."""
    ASK = "ask"
    """Repeat a request that could not be accepted; the number of the first try takes the place of a
    job.
    """


LABELS: Final = {
    Act.CANCEL: Key.BUTTON_CANCEL,
    Act.RETRY: Key.BUTTON_RETRY,
    Act.SMALLER: Key.BUTTON_SMALLER,
    Act.AUDIO: Key.BUTTON_AUDIO,
    Act.VIDEO: Key.BUTTON_VIDEO,
    Act.REMOVE: Key.BUTTON_REMOVE,
    Act.ASK: Key.BUTTON_TRY_AGAIN,
    Act.FIRST: Key.BUTTON_FIRST,
}
TRIES: Final = {
    Act.RETRY: Key.TRY_AGAIN,
    Act.SMALLER: Key.TRY_SMALLER,
    Act.AUDIO: Key.TRY_AUDIO,
    Act.VIDEO: Key.TRY_VIDEO,
}
LESS_HELPS: Final = {FailureReason.TOO_LARGE, FailureReason.TOO_LONG, FailureReason.OUT_OF_MEMORY}
"""Failures that a smaller version may avoid."""


@dataclass(frozen=True)
class Button:
    """A button. A press is identified by its custom_id alone, so it works after every restart."""

    label: str
    custom_id: str


@dataclass(frozen=True)
class Option:
    """One line of a menu; its value is its position."""

    label: str
    description: str | None = None


@dataclass(frozen=True)
class Menu:
    """A menu from which up to `most` options can be chosen; identified by its custom_id, as buttons
    are.
    """

    custom_id: str
    placeholder: str
    options: tuple[Option, ...]
    most: int


@dataclass(frozen=True)
class Reply:
    """The text and components of a message; files are sent separately."""

    content: str
    buttons: tuple[Button, ...] = ()
    menu: Menu | None = None
    thumbnail: str | None = None
    credit: str = ""
    """Names the requester in a message for which Discord does not."""


@dataclass(frozen=True)
class Shown:
    """The result of a successful job, as its message shows it."""

    job: MediaJob
    too_large: Sequence[MediaFile] = ()
    """Files that are not attached."""
    links: Mapping[str, str] | None = None
    """Links to those files, by hash."""
    limit: int = 0
    """Maximum bytes of one file here."""


def custom_id(act: Act, job: str) -> str:
    """A custom_id such as `trawler:cancel:d-123`, of at most a hundred characters."""
    return f"{CUSTOM_ID}:{act}:{job}"


def parse(text: str) -> tuple[Act, str] | None:
    """The act and the MediaJob's name in a custom_id; None if it is not ours."""
    words = text.split(":", 2)
    if len(words) != 3 or words[0] != CUSTOM_ID or words[1] not in set(Act):
        return None
    return Act(words[1]), words[2]


def harmless(text: str, limit: int = TITLE) -> str:
    """Make text from others safe to show: without markup, pings or line breaks, and cut to the
    limit.
    """
    escaped = _MARKDOWN.sub(lambda found: f"\\{found.group()}", sanitize(text, limit=limit))
    return _PINGS.sub(lambda found: found.group() + "\u200b", escaped)


# in progress ------------------------------------------------------------------------------------


def waiting(
    job: MediaJob, to: Language, place: Place | None = None, *, shown: Shown | None = None
) -> Reply:
    """The message of a job that has not started."""
    if job.status.reason is FailureReason.THROTTLED and job.status.host:
        site = sanitize(job.status.host, limit=100).replace("`", "")
        state = say(to, Key.SITE_REFUSES, site=f"`{site}`")
    elif place is None:
        state = say(to, Key.WAITING)
    elif place.seconds is None:
        state = say(to, Key.WAITING_AT, place=place.place)
    else:
        state = say(to, Key.WAITING_ABOUT, place=place.place, time=span(place.seconds))
    return _going(job, to, state, shown)


def running(
    job: MediaJob, to: Language, progress: Progress | None = None, *, shown: Shown | None = None
) -> Reply:
    """The message of a job that runs in a pod. Progress of an earlier attempt is ignored."""
    if progress is None or progress.attempt != job.status.attempt:
        return _going(job, to, say(to, Key.STARTING), shown)
    state = say(to, i18n.STAGES[progress.stage])
    if progress.stage is Stage.FETCHING:
        state = " · ".join([state, *_figures(progress, to)])
    elif progress.stage is Stage.CONVERTING and progress.total:
        state = f"{state} · {min(100, progress.bytes * 100 // progress.total)} %"
    if shown is not None or not may_show(job, progress.age_limit):
        return _going(job, to, state, shown)
    found = _reply(job, to, [state], (Act.CANCEL,), title=progress.title)
    where = _where(job)
    hidden = where is not None and (where.spoiler or not where.previews)
    return replace(found, thumbnail=None if hidden else _picture(progress.thumbnail))


def _going(job: MediaJob, to: Language, state: str, shown: Shown | None) -> Reply:
    """The first try has the message to itself; a further try adds a line below that result."""
    if shown is None:
        return _reply(job, to, [state], (Act.CANCEL,))
    return _beside(shown, job, to, state, (Act.CANCEL,))


def may_show(job: MediaJob, age_limit: int | None) -> bool:
    """Whether media with this age limit may be shown where the job was requested."""
    where = _where(job)
    return (age_limit or 0) < ADULT or where is None or where.age_restricted


def _picture(address: str | None) -> str | None:
    """The address of a thumbnail, if Discord accepts it as one."""
    fitting = address and address.startswith("https://") and not addresses.fault(address)
    return address if fitting else None


def _figures(progress: Progress, to: Language) -> list[str]:
    """Percent, size, rate and time left, as far as each is known."""
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


# ended ------------------------------------------------------------------------------------------


def ended(
    shown: Shown, to: Language, *, plain: bool = False, note: Key | None = None, more: str = ""
) -> Reply:
    """The message of a successful job. A file that does not fit becomes a link; without a link, its
    name, its size and the alternatives are shown. `plain`: without text from the site. `note`,
    `more`: one more sentence.
    """
    acts = (*acts_after(shown.job), Act.REMOVE)
    lines = [*filter(None, [more]), *_ended(shown, to, plain=plain, note=note)]
    return _reply(shown.job, to, lines, acts, plain=plain)


def kept(before: Shown, new: Shown, to: Language, *, note: Key | None = None) -> Reply:
    """The message after a further try that succeeded without any file that could be attached: the
    earlier result stays.
    """
    state = " ".join(_ended(new, to, plain=False, note=note)) or say(to, Key.DONE_WITHOUT_FILES)
    acts = (*acts_after(before.job), Act.REMOVE)
    return _beside(before, new.job, to, state, acts)


def _ended(shown: Shown, to: Language, *, plain: bool, note: Key | None) -> list[str]:
    lines = [say(to, note)] if note is not None else []
    lines += [] if plain else [_too_large(file, to, shown) for file in shown.too_large]
    lines += [_hint(acts_after(shown.job), to)] if _left_out(shown) else []
    lines += [] if shown.job.status.files else [say(to, Key.DONE_WITHOUT_FILES)]
    return [line for line in lines if line]


def _left_out(shown: Shown) -> bool:
    """Whether a file is neither attached nor linked."""
    return any(file.sha256 not in (shown.links or {}) for file in shown.too_large)


def _too_large(file: MediaFile, to: Language, shown: Shown) -> str:
    link = (shown.links or {}).get(file.sha256)
    return say(
        to,
        Key.TOO_LARGE if link is None else Key.TOO_LARGE_LINK,
        name=sanitize(file.name, limit=80).replace("`", "'"),
        size=size(to, file.bytes),
        limit=size(to, shown.limit),
        link=link,
    )


def _hint(acts: Sequence[Act], to: Language) -> str:
    if Act.SMALLER in acts:
        return say(to, Key.HINT_SMALLER_AUDIO)
    return say(to, Key.HINT_AUDIO) if Act.AUDIO in acts else ""


def acts_after(job: MediaJob) -> list[Act]:
    """What can be requested in addition to what a job delivered: only what can succeed."""
    files = job.status.files or ()
    media, where = job.spec.media, _where(job)
    acts = [Act.RETRY]
    if media.kind is MediaKind.AUDIO:
        return [*acts, Act.VIDEO] if where is not None and where.from_video else acts
    if not any(file.type.startswith("video/") for file in files):
        return acts
    lower = quality.smaller_than(files, media.max_height)
    if (
        lower is not None
        and job.status.engine is not EngineName.DIRECT
        and not job.status.offered_height
    ):
        acts.append(Act.SMALLER)
    return [*acts, Act.AUDIO]


def age_restricted(job: MediaJob, to: Language, *, shown: Shown | None = None) -> Reply:
    """The message of a job whose media may not be shown here."""
    words = say(to, Key.AGE_RESTRICTED)
    if shown is not None:
        return _beside(shown, job, to, words, (*acts_after(shown.job), Act.REMOVE))
    return _reply(job, to, [words], (Act.REMOVE,), plain=True)


def lost(job: MediaJob, to: Language, *, shown: Shown | None = None) -> Reply:
    """The message of a job whose files are no longer in the store."""
    words, acts = i18n.why(to, FailureReason.STORAGE_ERROR), (Act.RETRY, Act.REMOVE)
    return _reply(job, to, [words], acts) if shown is None else _beside(shown, job, to, words, acts)


def gone(job: MediaJob, to: Language, *, shown: Shown | None = None) -> Reply:
    """The message of a job that a cluster administrator has deleted, without buttons."""
    state = say(to, Key.DELETED)
    return _reply(job, to, [state], ()) if shown is None else _beside(shown, job, to, state, ())


def failed(
    job: MediaJob, to: Language, *, shown: Shown | None = None, plain: bool = False
) -> Reply:
    """The message of a failed job: the reason and what to do next, never the text of an exception.
    The result of an earlier try stays, with one more line.
    """
    if job.status.phase is Phase.CANCELLED:
        words, acts = say(to, Key.CANCELLED), [Act.RETRY]
    else:
        words, acts = _why(job, to), _acts_after_failure(job)
    if shown is None:
        if job.status.playlist is not None and job.status.playlist.entries:
            if not may_show(job, job.status.playlist.age_limit):
                return age_restricted(job, to)
            return _listed(job, job.status.playlist, to, plain=plain)
        return _reply(job, to, words.split("\n"), (*acts, Act.REMOVE), plain=plain)
    others = [act for act in acts_after(shown.job) if act is not Act.RETRY]
    if job.status.offered_height is not None and Act.SMALLER in others:
        others.remove(Act.SMALLER)
    return _beside(shown, job, to, words, (Act.RETRY, *others, Act.REMOVE), plain=plain)


def _listed(job: MediaJob, playlist: Playlist, to: Language, *, plain: bool) -> Reply:
    """The message for a link with many entries: what it is, and a menu of its entries."""
    lines = [i18n.failed(to, FailureReason.PLAYLIST)]
    if playlist.count:
        lines = [say(to, Key.PLAYLIST_COUNT, count=playlist.count)]
    shown = len(playlist.entries)
    whole = playlist.count == shown or (playlist.count is None and shown < MOST_ENTRIES)
    key = Key.PLAYLIST_CHOOSE if whole else Key.PLAYLIST_CHOOSE_FIRST
    lines.append(say(to, key, count=shown))
    reply = _reply(job, to, lines, (Act.FIRST, Act.REMOVE), title=playlist.title, plain=plain)
    where = _where(job)
    one = where is not None and (where.private or where.external)
    menu = Menu(
        custom_id=f"{CUSTOM_ID}:{ENTRY}:{job.name}",
        placeholder=say(to, Key.PLAYLIST_PLACEHOLDER),
        options=tuple(_option(each, plain=plain) for each in playlist.entries),
        most=1 if one else min(MOST_AT_ONCE, len(playlist.entries)),
    )
    return replace(reply, menu=menu)


def _option(entry: PlaylistEntry, *, plain: bool) -> Option:
    """The title and the duration of an entry."""
    called = "" if plain else label(entry.title or "")
    lasts = None if entry.seconds is None else _clock(entry.seconds)
    return Option(called or label(entry.url.partition("://")[2]), lasts)


def label(text: str) -> str:
    """Text from others as an option of a menu, which is never parsed as markup."""
    shown = sanitize(text, limit=4 * LABEL)
    return shown if len(shown) <= LABEL else shown[: LABEL - 1] + "…"


def _clock(seconds: float) -> str:
    """Format a duration: 0:07, 3:25, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _why(job: MediaJob, to: Language) -> str:
    reason = job.status.reason or FailureReason.INTERNAL
    if job.status.offered_subtitles:
        names = (i18n.language_name(to, tag) for tag in job.status.offered_subtitles[:LANGUAGES])
        return say(to, Key.SUBTITLES_ONLY_IN, languages=", ".join(names))
    if job.status.offered_height is not None:
        return say(to, Key.SMALLEST, height=job.status.offered_height)
    words = i18n.why(to, reason)
    if reason in LESS_HELPS and Act.SMALLER not in _acts_after_failure(job):
        hint = _hint(_acts_after_failure(job), to)
        words = " ".join(filter(None, [i18n.failed(to, reason), hint]))
    if reason is FailureReason.INTERNAL:  # the administrator finds job, logs and trace by it
        words += "\n" + say(to, Key.REFERENCE, name=job.name)
    return words


def _acts_after_failure(job: MediaJob) -> list[Act]:
    media, acts = job.spec.media, [Act.RETRY]
    if job.status.reason not in LESS_HELPS or media.kind in {MediaKind.AUDIO, MediaKind.IMAGE}:
        return acts
    lower = quality.smaller_than((), media.max_height) is not None
    return [*acts, Act.SMALLER, Act.AUDIO] if lower else [*acts, Act.AUDIO]


# parts ------------------------------------------------------------------------------------------


def _where(job: MediaJob) -> DiscordDelivery | None:
    return job.spec.delivery.discord if job.spec.delivery else None


def _beside(
    shown: Shown,
    job: MediaJob,
    to: Language,
    state: str,
    acts: tuple[Act, ...],
    *,
    plain: bool = False,
) -> Reply:
    """The earlier result with a line about a further try; the buttons are for that try."""
    line = say(to, Key.FURTHER, what=say(to, TRIES[tried(shown.job, job)]), state=state)[:CONTENT]
    before = _head(shown.job, None) if not plain else ""
    lines = _ended(shown, to, plain=plain, note=None)
    hint = _hint(acts_after(shown.job), to)
    lines = [each for each in lines if each != hint]
    return _with(before, lines, line, job, to, acts)


def tried(before: MediaJob, job: MediaJob) -> Act:
    """The button that requested a job after the one before it."""
    old, new = before.spec.media, job.spec.media
    if new.kind is MediaKind.AUDIO:
        return Act.RETRY if old.kind is MediaKind.AUDIO else Act.AUDIO
    if old.kind is MediaKind.AUDIO:
        return Act.VIDEO
    return Act.RETRY if new.max_height == old.max_height else Act.SMALLER


def _source(job: MediaJob) -> str:
    """The link as it was written, without a preview. If it would fill the message, only its host is
    shown.
    """
    where = _where(job)
    link = (where.link if where is not None else None) or job.spec.url
    # an address in brackets must not contain one: the rest would be parsed as markup
    plain = (
        sanitize(link, limit=4 * LINK).replace(" ", "%20").replace("<", "%3C").replace(">", "%3E")
    )
    if plain.startswith(("https://", "http://")) and len(plain) <= LINK:
        return f"<{plain}>"
    try:
        return harmless(addresses.parse(job.spec.url).authority)
    except addresses.BadAddress:  # it was created with kubectl, and the operator rejects it
        return harmless(job.spec.url[:LINK])


def _reply(
    job: MediaJob,
    to: Language,
    lines: Sequence[str],
    acts: tuple[Act, ...],
    *,
    title: str | None = None,
    plain: bool = False,
) -> Reply:
    return _with("" if plain else _head(job, title), lines, "", job, to, acts)


def _with(
    head: str, lines: Sequence[str], last: str, job: MediaJob, to: Language, acts: tuple[Act, ...]
) -> Reply:
    """Keep as many whole lines as fit between the first and the last one: a truncated link does not
    work.
    """
    room = CONTENT - len(head) - len(last) - LEFT_OUT
    kept: list[str] = []
    for line in lines:
        if len(line) + 1 > room:
            break
        kept.append(line)
        room -= len(line) + 1
    if len(kept) < len(lines):
        kept.append(say(to, Key.LIST_MORE, count=len(lines) - len(kept)))
    content = "\n".join(filter(None, [head, *kept, last]))
    return Reply(content[:CONTENT], _buttons(acts, job, to), credit=_credit(job, to))


def _credit(job: MediaJob, to: Language) -> str:
    where = _where(job)
    if where is None:
        return ""
    return f"-# {say(to, Key.REQUESTED_BY, person=f'<@{where.requester_id}>')}"


def _head(job: MediaJob, title: str | None) -> str:
    source = job.status.source
    named = harmless((source.title if source is not None else None) or title or "")
    return f"**{named}** {_source(job)}" if named else _source(job)


def _buttons(acts: Sequence[Act], job: MediaJob, to: Language) -> tuple[Button, ...]:
    return tuple(Button(say(to, LABELS[act]), custom_id(act, job.name)) for act in acts)
