"""Engine Cobalt: asks a Cobalt instance (a container of the same pod, or a remote address) for
media, and fetches the files that it names.

Cobalt is a separate service under its own license: we talk to it over HTTP, and no part of it is
included here. An answer proves nothing: a tunnel means "I will try", may be empty, and may end
cleanly in the middle (all observed).
"""

import ipaddress
from collections.abc import Iterable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Final

from trawler_common import logs
from trawler_common.text import sanitize
from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import (
    MOST_ENTRIES,
    MOST_ENTRY_URL,
    EngineName,
    Playlist,
    PlaylistEntry,
    Source,
)
from trawler_worker.fetcher.engines import cobalt_api, cobalt_parts
from trawler_worker.fetcher.engines.base import Found, Report
from trawler_worker.fetcher.engines.batch import Item, fetch_all
from trawler_worker.fetcher.engines.cobalt_api import Local, Picker, Redirect, Refusal, Tunnel
from trawler_worker.fetcher.engines.cobalt_faults import failure_of
from trawler_worker.fetcher.engines.settings import CobaltSettings
from trawler_worker.fetcher.error_mapping import seconds_of
from trawler_worker.fetcher.errors import FetchError, IsPlaylist
from trawler_worker.fetcher.network import guard
from trawler_worker.fetcher.network.http import Answer, Client
from trawler_worker.fetcher.network.targets import target
from trawler_worker.protocol import Fetch

log = logs.get("cobalt")

HELLO_WITHIN: Final = 3.0
"""Timeout in seconds for `GET /`, which Cobalt answers from memory."""
ANSWER_WITHIN: Final = 45.0
"""Timeout in seconds for an answer: Cobalt has no deadline of its own while it waits for a site
(observed).
"""


class Cobalt:
    """One Cobalt instance. Addresses in its answers are validated like those that people type."""

    name = EngineName.COBALT
    second_hand = True

    def __init__(self, settings: CobaltSettings, proxy: str = "") -> None:
        self._settings = settings
        self._key = _read_key(settings.key)
        self._at = target(settings.url)
        # a container of the same pod cannot be reached through a proxy
        self._client = Client("" if _is_loopback(self._at.host) else proxy)
        self._sites = Client(proxy)

    def fetch(self, order: Fetch, scratch: Path, report: Report) -> Found:
        """Ask Cobalt, and fetch what it names. After any failure that is not final, another engine
        may try.
        """
        self._client.waiter = report
        with closing(self._client):
            version = self._hello()
            for _ in range(2):
                said = self._ask(order, version)
                try:
                    return self._bring(said, order, scratch, report)
                except _TunnelGone:
                    continue  # a new request creates another tunnel
        raise _not_fetched("its tunnel is gone")

    def _hello(self) -> int:
        try:
            with self._speaking():
                answer = self._client.send("GET", self._at, {}, patience=HELLO_WITHIN)
                return cobalt_api.version_of(_read(answer))
        except OSError as error:
            raise _away() from error

    def _ask(self, order: Fetch, version: int) -> cobalt_api.Answer:
        mine = self._settings
        usual = {"quality": mine.quality, "codec": mine.codec, "audioFormat": mine.audio_format}
        body = cobalt_api.request(order.url, order.media, version, usual)
        key = {"Authorization": f"Api-Key {self._key}"} if self._key else {}
        try:
            with self._speaking():
                answer = self._client.send(
                    "POST", self._at, {**cobalt_api.HEADERS, **key}, body, patience=ANSWER_WITHIN
                )
                data = _read(answer)
        except OSError as error:
            raise _away() from error
        said = cobalt_api.answer(data)
        if isinstance(said, Refusal):
            raise failure_of(said, seconds_of(answer.headers.get("Retry-After")))
        if answer.status != 200:
            raise cobalt_api.unreadable("Cobalt answered with something that is no answer.")
        return said

    def _bring(self, said: cobalt_api.Answer, order: Fetch, scratch: Path, report: Report) -> Found:
        if self._settings.picker == "Ask" and isinstance(said, Picker):
            self._ask_which(said)
        try:
            items = [self._item(url, name) for url, name in self._wanted(said)]
            files = fetch_all(
                items, order=order, scratch=scratch, report=report, client=self._sites
            )
            if isinstance(said, Local):
                files = [cobalt_parts.assemble(said, files)]
        except FetchError as error:
            if error.reason is FailureReason.TOO_LARGE:
                raise
            # an error in Cobalt's answer says little about the address that the person gave
            raise _not_fetched(str(error.reason)) from error
        return Found(files=files, source=Source(page=order.url, extractor="Cobalt"))

    def _ask_which(self, said: Picker) -> None:
        """Raise IsPlaylist if there are several files and each can be requested on its own. Files
        behind Cobalt's own tunnels cannot; in that case, all files are fetched.
        """
        entries = [
            PlaylistEntry(url=each.url, title=f"{number}: {sanitize(each.type, limit=32)}")
            for number, each in enumerate(said.picker, 1)
            if len(each.url) <= MOST_ENTRY_URL
            and not addresses.fault(each.url)
            and target(each.url).origin != self._at.origin
        ]
        if 1 < len(entries) == len(said.picker):
            raise IsPlaylist(Playlist(count=len(entries), entries=entries[:MOST_ENTRIES]))

    def _wanted(self, said: cobalt_api.Answer) -> Iterable[tuple[str, str | None]]:
        """The addresses to fetch, with Cobalt's names for the files. The audio of a slideshow comes
        last.
        """
        match said:
            case Tunnel() | Redirect():
                return [(said.url, said.filename)]
            case Picker():
                offered = said.picker[:1] if self._settings.picker == "First" else said.picker
                sound = [(said.audio, said.audio_filename)] if said.audio else []
                return [*((each.url, None) for each in offered), *sound]
            case Local():
                return [(url, said.output.filename) for url in said.tunnel]

    def _item(self, url: str, name: str | None) -> Item:
        at = target(url)
        called = sanitize(name, limit=200) if name else None
        if at.origin != self._at.origin:
            return Item(url=url, called=called)
        # a body without a length ends cleanly even if Cobalt's own program was interrupted
        return Item(
            url=url, called=called, within=self._tunnel, client=self._client, chunks_prove=False
        )

    def _tunnel(self) -> AbstractContextManager[None]:
        return _ThroughTunnel(self._speaking())

    def _speaking(self) -> AbstractContextManager[None]:
        return guard.speaking_to(self._at.host, self._at.port)


class _TunnelGone(Exception):
    """The tunnel has expired, or Cobalt has restarted. A new request creates another tunnel."""


class _ThroughTunnel(AbstractContextManager[None]):
    """Interprets the status codes of a tunnel, which come from Cobalt and not from the site."""

    def __init__(self, speaking: AbstractContextManager[None]) -> None:
        self._speaking = speaking

    def __enter__(self) -> None:
        self._speaking.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._speaking.__exit__(None, None, None)
        if isinstance(error, FetchError) and error.reason in {
            FailureReason.NEEDS_LOGIN,
            FailureReason.NOTHING_FOUND,
        }:
            raise _TunnelGone from error


def _read_key(path: Path | None) -> str:
    """Read the API key. Empty if it cannot be read: Cobalt then answers that it requires one."""
    try:
        return path.read_text().strip() if path is not None else ""
    except (OSError, UnicodeDecodeError):
        log.error("cobalt_key_unreadable")
        return ""


def _read(answer: Answer) -> bytes:
    """Read the whole body. Raises OSError and FetchError."""
    data = b""
    for piece in answer.pieces(64 * 1024):
        data += piece
        if len(data) > cobalt_api.MAX_ANSWER:
            answer.close()
            raise cobalt_api.unreadable("Cobalt answered with something that is no answer.")
    return data


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _away() -> FetchError:
    return FetchError(
        FailureReason.SITE_ERROR, "Cobalt does not answer.", elsewhere=True, note="away"
    )


def _not_fetched(note: str) -> FetchError:
    said = "What Cobalt named could not be fetched."
    return FetchError(FailureReason.SITE_ERROR, said, elsewhere=True, note=note)
