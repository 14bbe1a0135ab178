"""Every sentence that a person reads, in every language. A language is a file, `locales/<tag>.po`:
a gettext catalogue with the keys of `Key`. The comment of each entry says where it appears. Pure
but for reading the files once.
"""

from collections.abc import Mapping
from enum import StrEnum
from gettext import GNUTranslations
from importlib import resources
from io import BytesIO
from typing import Final, NewType

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from trawler_crds.failures import FailureReason
from trawler_crds.messages import Stage

Language = NewType("Language", str)
"""The name of a catalogue: a language tag as Discord writes it (docs, Locales)."""

ENGLISH: Final = Language("en")
"""The language for people who speak none of the others."""


class Key(StrEnum):
    """Keys of the sentences. Commands, choices and failures have keys of their own kind, derived
    from their names.
    """

    WAITING = "waiting"
    WAITING_AT = "waiting-at"
    WAITING_ABOUT = "waiting-about"
    SITE_REFUSES = "site-refuses"
    STARTING = "starting"
    FETCHING = "fetching"
    PROVING = "proving"
    CONVERTING = "converting"
    STORING = "storing"
    OF = "of"
    LEFT = "left"
    DONE_WITHOUT_FILES = "done-without-files"
    TOO_LARGE = "too-large"
    TOO_LARGE_LINK = "too-large-link"
    HINT_SMALLER_AUDIO = "hint-smaller-audio"
    HINT_AUDIO = "hint-audio"
    CANCELLED = "cancelled"
    DELETED = "deleted"
    AGE_RESTRICTED = "age-restricted"
    BLOCKED = "blocked"
    CANNOT_ATTACH = "cannot-attach"
    REST_MISSING = "rest-missing"
    UPLOAD_FAILED = "upload-failed"
    SMALLEST = "smallest"
    SUBTITLES_ONLY_IN = "subtitles-only-in"
    PLAYLIST_COUNT = "playlist-count"
    PLAYLIST_CHOOSE = "playlist-choose"
    PLAYLIST_CHOOSE_FIRST = "playlist-choose-first"
    PLAYLIST_PLACEHOLDER = "playlist-placeholder"
    REQUESTED_BY = "requested-by"
    REFERENCE = "reference"
    FURTHER = "further"
    TRY_AGAIN = "try-again"
    TRY_SMALLER = "try-smaller"
    TRY_AUDIO = "try-audio"
    TRY_VIDEO = "try-video"
    CALL_DONE = "call-done"
    CALL_FAILED = "call-failed"
    BUTTON_CANCEL = "button-cancel"
    BUTTON_RETRY = "button-retry"
    BUTTON_SMALLER = "button-smaller"
    BUTTON_AUDIO = "button-audio"
    BUTTON_VIDEO = "button-video"
    BUTTON_REMOVE = "button-remove"
    BUTTON_TRY_AGAIN = "button-try-again"
    BUTTON_FIRST = "button-first"
    NOT_A_LINK = "not-a-link"
    BAD_CLIP = "bad-clip"
    BAD_SUBTITLES = "bad-subtitles"
    CLIP_TO_END = "clip-to-end"
    CLIP_PART = "clip-part"
    MALFORMED = "malformed"
    LINK_TOO_LONG = "link-too-long"
    LINK_WITH_PASSWORD = "link-with-password"  # noqa: S105 - what is wrong with a link
    PRIVATE_ADDRESS = "private-address"
    BOT_MAY_NOT_POST = "bot-may-not-post"
    YOU_MAY_NOT_POST = "you-may-not-post"
    BOT_MAY_NOT_PRESS = "bot-may-not-press"
    YOU_MAY_NOT_PRESS = "you-may-not-press"
    NOT_YOURS = "not-yours"
    COOLDOWN = "cooldown"
    STILL_WORKING = "still-working"
    NOT_ACCEPTED = "not-accepted"
    EXPIRED = "expired"
    NOT_SERVED = "not-served"
    QUEUE_FULL = "queue-full"
    NOT_NOW = "not-now"
    BROKEN = "broken"
    NOTHING_TO_SAVE = "nothing-to-save"
    PICK = "pick"
    PICK_PLACEHOLDER = "pick-placeholder"
    PICKING = "picking"
    PICKED = "picked"
    PICKED_SOME = "picked-some"
    ALREADY_HERE = "already-here"
    CANCELLING = "cancelling"
    NO_SUCH_JOB = "no-such-job"
    QUEUE_HEAD = "queue-head"
    QUEUE_EMPTY = "queue-empty"
    MINE_HEAD = "mine-head"
    MINE_EMPTY = "mine-empty"
    LIST_WAITING = "list-waiting"
    LIST_PLACE = "list-place"
    LIST_REFUSED = "list-refused"
    LIST_RUNNING = "list-running"
    LIST_SUSPENDED = "list-suspended"
    LIST_DONE = "list-done"
    LIST_MORE = "list-more"
    AGO = "ago"
    HELP = "help"


STAGES: Final[Mapping[Stage, Key]] = {
    Stage.STARTING: Key.STARTING,
    Stage.FETCHING: Key.FETCHING,
    Stage.PROVING: Key.PROVING,
    Stage.CONVERTING: Key.CONVERTING,
    Stage.STORING: Key.STORING,
    Stage.REPORTING: Key.STORING,
}
NAMED: Final = ("name-", "button-")
"""Entries that sentences may mention: `{name_download}` is the name of a command in the language of
the sentence.
"""


class Catalogue:
    """The catalogue of one language."""

    def __init__(self, tag: str, po: bytes) -> None:
        found = read_po(BytesIO(po), locale=tag.replace("-", "_"))
        self.locale = Locale.parse(tag, sep="-")
        self.entries = {_key(each): each for each in found if each.id}
        compiled = BytesIO()
        write_mo(compiled, found)
        compiled.seek(0)
        self._translations = GNUTranslations(compiled)
        self.names = {
            key.replace("-", "_"): self._translations.gettext(key)
            for key in self.entries
            if key.startswith(NAMED)
        }

    def sentence(self, key: str, count: object = None) -> str:
        """The text of an entry, in the right plural form if it has several."""
        if self.entries[key].pluralizable and isinstance(count, int):
            return self._translations.ngettext(key, key, count)
        return self._translations.gettext(key)


def _key(message: Message) -> str:
    return str(message.id[0] if isinstance(message.id, list | tuple) else message.id)


def _read_all() -> dict[Language, Catalogue]:
    found = {}
    for file in resources.files(__package__).joinpath("locales").iterdir():
        tag, _, kind = file.name.rpartition(".")
        if kind == "po":
            found[Language(tag)] = Catalogue(tag, file.read_bytes())
    return dict(sorted(found.items()))


CATALOGUES: Final[Mapping[Language, Catalogue]] = _read_all()


def language(locale: str | None) -> Language:
    """The catalogue for Discord's `locale`: the locale itself, otherwise its base language,
    otherwise English.
    """
    wanted = (locale or "").lower()
    known = {each.lower(): each for each in CATALOGUES}
    return known.get(wanted) or known.get(wanted.partition("-")[0]) or ENGLISH


def say(to: Language, key: str, **values: object) -> str:
    """Format one sentence with its values; `count` chooses the plural form."""
    catalogue = CATALOGUES[to]
    return catalogue.sentence(key, values.get("count")).format(**catalogue.names, **values)


def failed(to: Language, reason: FailureReason) -> str:
    """What went wrong, without advice."""
    return say(to, f"failed-{_kebab(reason)}")


def why(to: Language, reason: FailureReason) -> str:
    """Why something failed, and what to do next."""
    return f"{failed(to, reason)} {say(to, f'advice-{_kebab(reason)}')}"


def _kebab(reason: FailureReason) -> str:
    return reason.name.lower().replace("_", "-")


def language_name(to: Language, tag: str) -> str:
    """The display name of a language, for example German; its tag if the name is unknown."""
    try:
        spoken = CATALOGUES[to].locale if to in CATALOGUES else Locale.parse(to, sep="-")
        return Locale.parse(tag, sep="-").get_display_name(spoken) or tag
    except (UnknownLocaleError, ValueError):
        return tag


def is_language(tag: str) -> bool:
    """Whether a language with this code exists."""
    return tag.lower() in CATALOGUES[ENGLISH].locale.languages


def size(to: Language, count: int) -> str:
    """Format bytes for people, in Discord's units, whose MB are 1,048,576 bytes: 842 B, 7.4 MB, 10
    MB.
    """
    units = ("B", "KB", "MB", "GB", "TB")
    value, at = float(count), 0
    while value >= 999.5 and at < len(units) - 1:
        value, at = value / 1024, at + 1
    pattern = "0" if at == 0 or value >= 100 else "0.#"
    return f"{format_decimal(value, pattern, locale=CATALOGUES[to].locale)} {units[at]}"


def span(seconds: float) -> str:
    """Format a duration for people: 8 s, 3 min, 2 h."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"
