"""Engine YtDlp: the yt-dlp library, loaded and warmed once, used in a fork per job.

yt-dlp's own limits do not limit and its retries do not retry unless told (measured), so every
bound here is ours: bytes and files in hooks, text in `Response.read`, redirects in its sessions.
"""

import io
import re
import urllib.request
from pathlib import Path
from typing import Any, Final

import requests.sessions
import yt_dlp
from yt_dlp.downloader.common import FileDownloader
from yt_dlp.downloader.external import FFmpegFD
from yt_dlp.extractor.generic import GenericIE
from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.utils import (
    ContentTooShortError,
    ExtractorError,
    GeoRestrictedError,
    UnsupportedError,
)

from trawler_common.plain import clean
from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineName, MediaKind, Source
from trawler_worker.fetcher.engines import shortlist
from trawler_worker.fetcher.engines.base import Found, Report
from trawler_worker.fetcher.errors import FetchError, NotTaken
from trawler_worker.fetcher.faults import by_status, chain, fault_of
from trawler_worker.fetcher.proof import too_large
from trawler_worker.protocol import Fetch

MAX_REDIRECTS: Final = 5
MAX_TEXT: Final = 8 * 1024 * 1024
"""Bytes of one page or manifest."""
MAX_REQUESTS: Final = 10_000
"""Requests of one job: a three-line playlist can ask for hundreds."""

_LOGIN: Final = re.compile(r"log ?in|sign ?in|cookies|authenticat|password", re.IGNORECASE)
_MISSING: Final = re.compile(r"no (video|media)|could not be found|not found", re.IGNORECASE)


class _Silent:
    """yt-dlp's messages carry site text; none of it leaves the process."""

    def debug(self, _: str) -> None: ...
    def info(self, _: str) -> None: ...
    def warning(self, _: str) -> None: ...
    def error(self, _: str) -> None: ...


def options(proxy: str) -> dict[str, Any]:
    """What holds for every job."""
    return {
        "logger": _Silent(),
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "cachedir": False,
        "cookiefile": None,
        "proxy": proxy or "",
        "retries": 3,
        "fragment_retries": 3,
        "file_access_retries": 0,
        "extractor_retries": 1,
        "skip_unavailable_fragments": False,
        "socket_timeout": 15,
        "concurrent_fragment_downloads": 1,
        "noplaylist": True,
        "external_downloader": {"default": "native"},
        "hls_prefer_native": True,
        "writeinfojson": False,
        "updatetime": False,
        "overwrites": True,
        "nopart": False,
        "color": "never",
        "ignoreerrors": False,
        "allow_unplayable_formats": False,
        "enable_file_urls": False,
        "prefer_ffmpeg": True,
    }


def bound_library() -> None:
    """Take away what a job must not have. Once per process, before anything is warmed."""
    requests.sessions.DEFAULT_REDIRECT_LIMIT = MAX_REDIRECTS  # type: ignore[attr-defined]
    urllib.request.HTTPRedirectHandler.max_redirections = MAX_REDIRECTS
    FFmpegFD.real_download = _no_ffmpeg_download
    Response.read = _bounded_read(Response.read)
    shortlist.teach(GenericIE)
    # tables and progress lines are laid out for every job, and nobody reads them
    yt_dlp.YoutubeDL._forceprint = _print_nothing  # noqa: SLF001
    FileDownloader.report_progress = _print_nothing


def _no_ffmpeg_download(*_: Any) -> bool:
    """Ffmpeg dials by itself, where no guard of ours sees it; live streams would need it."""
    raise FetchError(FailureReason.NOT_SUPPORTED, "Streams of this kind are not supported yet.")


def _print_nothing(*_: Any) -> dict[str, Any]:
    return {}


def _bounded_read(read: Any) -> Any:
    def bounded(self: Any, amt: int | None = None) -> bytes:
        if amt is not None:
            return bytes(read(self, amt))
        parts, size = [], 0
        while part := read(self, 256 * 1024):
            parts.append(part)
            size += len(part)
            if size > MAX_TEXT:
                raise FetchError(FailureReason.TOO_LARGE, "The page is larger than we read.")
        return b"".join(parts)

    return bounded


class YtDlp:
    """A warmed yt-dlp; one job uses it up, which is why jobs run in forks."""

    name = EngineName.YT_DLP

    def __init__(self, proxy: str = "") -> None:
        bound_library()
        self._ydl = yt_dlp.YoutubeDL(options(proxy))
        self._shortlist = shortlist.Shortlist(self._ydl._ies)  # noqa: SLF001

    def warm(self, url: str, scratch: Path) -> None:
        """Fetch once, so that tables, patterns and TLS contexts are built before the fork.

        Without the shortlist: every extractor is asked, and so has its patterns compiled.
        """
        self._ydl.params["outtmpl"]["default"] = str(scratch / "warm.%(ext)s")
        self._ydl.extract_info(url, download=True)
        self._ydl.cookiejar.clear()

    def fetch(self, order: Fetch, scratch: Path, report: Report) -> Found:
        if order.media.kind is MediaKind.IMAGE:
            raise NotTaken(FailureReason.NOT_SUPPORTED, "YtDlp does not fetch pictures.")
        ydl = self._prepare(order, scratch, report)
        try:
            info = ydl.extract_info(order.url, download=True)
            entries = _entries(info)
        except FetchError:
            raise
        except Exception as error:
            raise _fault_of(error) from error
        return Found(files=_files(entries), source=_source(info, entries))

    def _prepare(self, order: Fetch, scratch: Path, report: Report) -> Any:
        ydl = self._ydl
        form = choose_format(order)
        ydl.params |= {
            "format": form,
            "format_sort": ["res", "vcodec:h264", "acodec:aac"],
            "playlist_items": f"1:{order.limits.max_files + 1}",
            "match_filter": _judged(order, report),
            "cookiefile": io.StringIO(),
        }
        ydl.params["outtmpl"]["default"] = str(scratch / f"{order.job}-%(autonumber)s.%(ext)s")
        ydl.format_selector = ydl.build_format_selector(form)
        ydl._ies = self._shortlist  # noqa: SLF001
        ydl.extract_info = self._shortlist.directed(ydl.extract_info)
        ydl._num_downloads = 0  # noqa: SLF001 - the warm-up counted
        ydl._playlist_urls.clear()  # noqa: SLF001
        ydl.add_progress_hook(_Meter(order, report))
        ydl.urlopen = _counted(ydl.urlopen)
        return ydl


def choose_format(order: Fetch) -> str:
    """yt-dlp's format expression for what is asked; heights that are unknown pass. Pure."""
    if order.media.kind is MediaKind.AUDIO:
        return "ba/b"
    height = order.media.max_height
    if height is None:
        return "bv*+ba/b/bv*/ba"
    limit = f"[height<=?{height}]"
    return f"bv*{limit}+ba/b{limit}/bv*{limit}/wv*+ba/w"


class _Meter:
    """Sums over all files of the job; stops it when they are too many bytes."""

    def __init__(self, order: Fetch, report: Report) -> None:
        self._limits = order.limits
        self._report = report
        self._bytes: dict[str, int] = {}

    def __call__(self, state: dict[str, Any]) -> None:
        name = str(state.get("filename"))
        self._bytes[name] = int(state.get("downloaded_bytes") or 0)
        have = sum(self._bytes.values())
        total = state.get("total_bytes")
        announced = have if total is None else have - self._bytes[name] + int(total)
        if max(have, announced) > self._limits.max_bytes:
            raise too_large(self._limits)
        self._report(have, None if total is None else announced)


def _counted(urlopen: Any) -> Any:
    count = 0

    def counted(request: Any) -> Any:
        nonlocal count
        count += 1
        if count > MAX_REQUESTS:
            raise FetchError(FailureReason.TOO_LARGE, "Fetching this takes too many requests.")
        return urlopen(request)

    return counted


def _entries(info: Any) -> list[dict[str, Any]]:
    if not info:
        raise FetchError(FailureReason.NOTHING_FOUND)
    nested = info.get("entries")
    entries = [info] if nested is None else [entry for entry in nested if entry]
    if not entries:
        raise FetchError(FailureReason.NOTHING_FOUND)
    return entries


def _judged(order: Fetch, report: Report) -> Any:
    """What yt-dlp asks before it downloads an entry: it is taken, or the whole job ends. By then the
    site has told what it is.
    """
    told = False

    def judge(info: dict[str, Any], *, incomplete: bool) -> None:
        if (info.get("n_entries") or 1) > order.limits.max_files:
            raise FetchError(
                FailureReason.TOO_LARGE,
                f"There are more than the {order.limits.max_files} files allowed.",
            )
        if info.get("is_live") or info.get("live_status") == "is_upcoming":
            raise FetchError(FailureReason.UNAVAILABLE, "This is live; try again when it is over.")
        for form in () if incomplete else info.get("requested_formats") or [info]:
            if (form.get("filesize") or 0) > order.limits.max_bytes:
                raise too_large(order.limits)
        nonlocal told
        if not incomplete and not told:
            told = True
            report.told(_title(info), _thumbnail(info))

    return judge


def _title(info: dict[str, Any]) -> str | None:
    title = info.get("playlist_title") or info.get("title")
    return clean(str(title), limit=256) or None if title else None


def _thumbnail(info: dict[str, Any]) -> str | None:
    """Only an address that everybody could look at."""
    address = str(info.get("thumbnail") or "")
    return address if address.startswith("https://") and not addresses.fault(address) else None


def _files(entries: list[dict[str, Any]]) -> list[tuple[Path, float | None]]:
    return [
        (Path(str(download["filepath"])), entry.get("duration"))
        for entry in entries
        for download in entry.get("requested_downloads") or []
        if download.get("filepath")
    ]


def _source(info: dict[str, Any], entries: list[dict[str, Any]]) -> Source:
    first = entries[0]

    def text(key: str, limit: int) -> str | None:
        value = info.get(key) or first.get(key)
        return clean(str(value), limit=limit) or None if value else None

    age = first.get("age_limit")
    return Source(
        title=text("title", 256),
        author=text("uploader", 128),
        page=text("webpage_url", 2048),
        extractor=text("extractor_key", 64),
        age_limit=age if isinstance(age, int) and 0 <= age <= 99 else None,
    )


def _fault_of(error: Exception) -> FetchError:
    """yt-dlp's errors in our terms: first what the network said, then what the extractor meant."""
    causes = chain(error)
    for cause in causes:
        fault = _meaning(cause)
        if fault is not None:
            return fault
    expected = next((c for c in causes if isinstance(c, ExtractorError) and c.expected), None)
    if expected is not None:
        text = str(expected)
        if _LOGIN.search(text):
            return FetchError(FailureReason.NEEDS_LOGIN)
        if _MISSING.search(text):
            return FetchError(FailureReason.NOTHING_FOUND)
        return FetchError(FailureReason.UNAVAILABLE)
    return fault_of(error)


def _meaning(cause: BaseException) -> FetchError | None:
    """What one error of a chain says by itself, if anything."""
    match cause:
        case FetchError():
            return cause
        case HTTPError() if cause.redirect_loop:
            return FetchError(FailureReason.SITE_ERROR, "The site redirects too often.")
        case HTTPError():
            return by_status(cause.status, cause.response.headers.get("Retry-After"))
        case UnsupportedError():
            return NotTaken(FailureReason.NOTHING_FOUND, "There is no media on this page.")
        case GeoRestrictedError():
            return FetchError(FailureReason.UNAVAILABLE)
        case ContentTooShortError():
            return FetchError(FailureReason.SITE_ERROR, "The site broke off in the middle.")
        case MemoryError():
            return FetchError(FailureReason.OUT_OF_MEMORY)
        case TransportError():
            return fault_of(cause)
    return None
