"""Engine GalleryDl: gallery-dl lists the files of a post, and we fetch them in order like all other
files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineName, MediaKind, Source
from trawler_worker.fetcher.engines import gallery_messages as messages
from trawler_worker.fetcher.engines.base import Found, Report
from trawler_worker.fetcher.engines.batch import Item, fetch_all
from trawler_worker.fetcher.engines.gallery_messages import Offered
from trawler_worker.fetcher.engines.gallery_process import Ran, look
from trawler_worker.fetcher.engines.settings import EngineSettings
from trawler_worker.fetcher.errors import EngineDeclined, FetchError
from trawler_worker.fetcher.network.http import Client
from trawler_worker.fetcher.network.targets import target
from trawler_worker.filenames import FILE_ENDINGS, IMAGE_ENDINGS
from trawler_worker.protocol import Fetch

GENERIC: Final = "generic"
_OTHERS: Final = ("ytdl:", "text:")
"""Prefixes of the addresses that gallery-dl returns if another program must do the download."""


class GalleryDl:
    """Fetches posts and albums of pictures."""

    name = EngineName.GALLERY_DL
    second_hand = False

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._client = Client(settings.proxy)

    def fetch(self, order: Fetch, scratch: Path, report: Report) -> Found:
        """List the files, then fetch them. Raises FetchError."""
        ran = self._look(target(order.url).url, order, scratch, report)
        offered = _wanted(messages.files(ran.messages), order)
        facts = offered[0].facts
        source = Source(
            title=messages.title(facts),
            author=messages.author(facts),
            page=order.url,
            extractor=messages.category(facts),
        )
        report.told(source.title, None, None)
        unsorted = source.extractor == GENERIC
        if unsorted:
            offered = [each for each in offered if _may_be_media(each)][: order.limits.max_files]
        files = fetch_all(
            [_item(each) for each in offered],
            order=order,
            scratch=scratch,
            report=report,
            client=self._client,
            lenient=unsorted,
        )
        return Found(files=files, source=source, about=messages.about(facts), unsorted=unsorted)

    def _look(self, url: str, order: Fetch, scratch: Path, report: Report) -> Ran:
        """List the files, following at most one short link. Raises FetchError."""
        for _ in range(2):
            ran = self._ask(url, order, scratch, report)
            leads = list(dict.fromkeys(messages.leads(ran.messages)))
            if messages.files(ran.messages):
                return ran
            if (fault := messages.failure(ran.messages)) is not None:
                raise fault
            if len(leads) > 1:
                raise messages.playlist(leads)
            if not leads:
                break
            url = target(leads[0]).url  # validated like what people type
        raise EngineDeclined(FailureReason.NOTHING_FOUND, "There is no media on this page.")

    def _ask(self, url: str, order: Fetch, scratch: Path, report: Report) -> Ran:
        proxy = self._settings.proxy
        report.asking()
        try:
            ran = look(
                url,
                most=order.limits.max_files + 1,
                scratch=scratch,
                proxy=proxy,
                allow=_only(proxy) if proxy else self._settings.allow,
                extractors=self._settings.gallery_extractors,
                options=["extractor.generic.enabled=true"] if _is_plain(url) else [],
            )
        finally:
            report.answered()
        if ran.unsupported:
            raise EngineDeclined(
                FailureReason.NOT_SUPPORTED, "gallery-dl does not know sites of this kind."
            )
        return ran


def _only(proxy: str) -> list[str]:
    """The allow list if there is a proxy: nothing else may be dialled."""
    at = target(proxy)
    return [f"[{at.host}]:{at.port}" if ":" in at.host else f"{at.host}:{at.port}"]


def _is_plain(url: str) -> bool:
    """Whether gallery-dl's generic extractor may be used: it loses the port (observed)."""
    at = addresses.parse(url)
    return at.port == {"http": 80, "https": 443}[at.scheme]


def _wanted(offered: Sequence[Offered], order: Fetch) -> list[Offered]:
    """The files of the requested kind. Raises FetchError."""
    kind = order.media.kind
    found = [
        each
        for each in offered
        if kind is MediaKind.AUTO or _is_picture(each) is (kind is MediaKind.IMAGE)
    ]
    if any(each.url.startswith(_OTHERS) for each in found):
        raise EngineDeclined(
            FailureReason.NOT_SUPPORTED, "This post holds a video for another engine.", note="ytdl"
        )
    if not found:
        raise FetchError(FailureReason.NOTHING_FOUND, elsewhere=True)
    return found


def _is_picture(offer: Offered) -> bool:
    return offer.extension in IMAGE_ENDINGS


def _may_be_media(offer: Offered) -> bool:
    """Whether a file of the generic extractor may be media. In the text of a page, that extractor
    also finds icons, and takes for addresses what is none.
    """
    return offer.extension in FILE_ENDINGS and not set(offer.url) & set("{}\\\"'<> ")


def _item(offer: Offered) -> Item:
    return Item(
        url=offer.url,
        headers=offer.headers,
        fallbacks=offer.fallbacks,
        caption=messages.caption(offer.facts),
    )
