"""Interprets gallery-dl's messages (--dump-json of 1.32). Pure. All of it is input from a site, and
none of it is trusted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from trawler_common.text import sanitize, sanitize_lines
from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import (
    MOST_ENTRIES,
    MOST_ENTRY_URL,
    Playlist,
    PlaylistEntry,
)
from trawler_crds.sidecar import MOST_CAPTION, MOST_DESCRIPTION, MOST_TAGS, About
from trawler_worker.fetcher.error_mapping import by_status
from trawler_worker.fetcher.errors import EngineDeclined, FetchError, IsPlaylist
from trawler_worker.fetcher.network.targets import MAX_SENT

_FILE, _QUEUE, _ERROR = 3, 6, -1
_STATUS: Final = re.compile(r"'(\d{3}) ")
_SENDABLE: Final = frozenset(["referer", "user-agent", "origin", "accept"])
"""Headers that an extractor may require for its file."""
_TITLES: Final = ("title", "post_title", "description", "content", "caption")
_CAPTIONS: Final = ("caption", "alt_text", "alt", "image_description")
_TEXTS: Final = ("description", "content", "caption", "selftext", "text")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}.{0,12}")
_AUTHORS: Final = ("author", "user", "username", "uploader", "artist", "owner")
_LOGIN: Final = frozenset(["AuthRequired", "AuthenticationError", "AuthorizationError"])
_UNREADABLE: Final = "The site's page could not be read."


@dataclass(frozen=True, kw_only=True)
class Offered:
    """One file that gallery-dl found."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    extension: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def files(messages: Iterable[list[Any]]) -> list[Offered]:
    """The files in order, each address once."""
    found = {offer.url: offer for offer in _files(messages)}
    return list(found.values())


def _files(messages: Iterable[list[Any]]) -> Iterator[Offered]:
    for message in messages:
        match message:
            case [int(kind), str(url), dict(facts)] if kind == _FILE and len(url) <= MAX_SENT:
                yield Offered(
                    url=url,
                    headers=_headers(facts.get("_http_headers")),
                    fallbacks=_fallbacks(facts.get("_fallback")),
                    extension=str(facts.get("extension") or "").lower()[:10],
                    facts=facts,
                )


def _headers(said: object) -> dict[str, str]:
    if not isinstance(said, dict):
        return {}
    return {
        str(name): str(value)
        for name, value in said.items()
        if str(name).lower() in _SENDABLE and len(str(value)) <= MAX_SENT
    }


def _fallbacks(said: object) -> tuple[str, ...]:
    urls = said if isinstance(said, list | tuple) else ()
    return tuple(url for url in urls[:3] if isinstance(url, str) and len(url) <= MAX_SENT)


def leads(messages: Iterable[list[Any]]) -> list[str]:
    """Addresses that gallery-dl would visit next: the target of a short link, or all posts of an
    account.
    """
    return [
        message[1]
        for message in messages
        if len(message) > 1 and message[0] == _QUEUE and isinstance(message[1], str)
    ]


def playlist(leads: Sequence[str]) -> FetchError:
    """The failure for an account: a playlist of those posts that can be requested."""
    entries = [
        PlaylistEntry(url=each)
        for each in dict.fromkeys(leads)
        if len(each) <= MOST_ENTRY_URL and not addresses.fault(each)
    ]
    if not entries:
        return EngineDeclined(FailureReason.NOTHING_FOUND, "There is no media on this page.")
    # another engine may handle it as a single item
    return IsPlaylist(Playlist(entries=entries[:MOST_ENTRIES]), elsewhere=True)


def failure(messages: Iterable[list[Any]]) -> FetchError | None:
    """The error in gallery-dl's messages (its exit code says nothing in this case)."""
    for message in messages:
        match message:
            case [int(kind), {"error": str(name), **rest}] if kind == _ERROR:
                return _failure(name, str(rest.get("message", "")))
    return None


def _failure(name: str, said: str) -> FetchError:
    """Map the kind of error to a failure. The error's text is read only for HTTP errors."""
    if name in _LOGIN:
        return FetchError(FailureReason.NEEDS_LOGIN, elsewhere=True, note=name)
    if name == "NotFoundError":
        return FetchError(FailureReason.NOTHING_FOUND, note=name)
    if name == "ChallengeError":
        words = "The site shows this only to browsers."
        return FetchError(FailureReason.UNAVAILABLE, words, elsewhere=True, note=name)
    if name == "HttpError":
        return _http(said)
    return FetchError(FailureReason.SITE_ERROR, _UNREADABLE, elsewhere=True, note="an error in it")


def _http(said: str) -> FetchError:
    status = _STATUS.match(said)
    if status is not None:
        fault = by_status(int(status[1]), None)
        fault.elsewhere = fault.reason is not FailureReason.NOTHING_FOUND
        fault.note = f"status {status[1]}"
        return fault
    if "NameResolutionError" in said:
        return FetchError(FailureReason.BAD_ADDRESS, "There is no such host.", note="no such name")
    if "RefusedAddress" in said or "not a public address" in said:
        return FetchError(FailureReason.BAD_ADDRESS, note="refused address")
    if "Timeout" in said:
        return FetchError(FailureReason.TOO_SLOW, elsewhere=True, note="time-out")
    return FetchError(FailureReason.SITE_ERROR, elsewhere=True, note="connection")


def title(facts: Mapping[str, Any]) -> str | None:
    """The title of the post; if it has none, the first line of its text."""
    for key in _TITLES:
        value = facts.get(key)
        if isinstance(value, str) and (
            line := sanitize(value.strip().partition("\n")[0], limit=256)
        ):
            return line
    return None


def author(facts: Mapping[str, Any]) -> str | None:
    """The author of the post."""
    for key in _AUTHORS:
        value = facts.get(key)
        if isinstance(value, dict):
            names = (value.get(name) for name in ("nick", "name", "full_name", "username", "id"))
            value = next((name for name in names if isinstance(name, str) and name), None)
        if isinstance(value, str) and (name := sanitize(value, limit=128)):
            return name
    return None


def caption(facts: Mapping[str, Any]) -> str | None:
    """The post's caption of one of its files."""
    value = next((facts[key] for key in _CAPTIONS if isinstance(facts.get(key), str)), "")
    return sanitize_lines(value, limit=MOST_CAPTION) or None


def about(facts: Mapping[str, Any]) -> About:
    """The metadata of the post."""
    description = next((facts[key] for key in _TEXTS if isinstance(facts.get(key), str)), "")
    said = facts.get("tags")
    tags = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
    known = (sanitize(tag, limit=64) for tag in tags[: 2 * MOST_TAGS] if isinstance(tag, str))
    licence = facts.get("license")
    return About(
        published=_date(facts.get("date")),
        description=sanitize_lines(description, limit=MOST_DESCRIPTION) or None,
        licence=sanitize(licence, limit=128) or None if isinstance(licence, str) else None,
        tags=list(dict.fromkeys(tag for tag in known if tag))[:MOST_TAGS],
    )


def _date(said: object) -> str | None:
    """Convert gallery-dl's dates, such as 2026-05-06 07:08:09 in UTC, to RFC 3339."""
    if not isinstance(said, str) or not _DATE.fullmatch(said):
        return None
    return f"{said[:10]}T{said[11:19]}Z"


def category(facts: Mapping[str, Any]) -> str | None:
    """The extractor's own name for its site."""
    value = facts.get("category")
    return sanitize(value, limit=64) or None if isinstance(value, str) else None
