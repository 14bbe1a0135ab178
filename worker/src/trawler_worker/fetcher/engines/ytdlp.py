"""Engine YtDlp: the yt-dlp library, loaded and warmed up once, used in one fork per job.

yt-dlp's own limits do not limit, and its retries do not retry unless configured (measured).
Therefore every limit here is ours: bytes and files in hooks, text and redirects in `ytdlp_http`.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yt_dlp
from yt_dlp.downloader.common import FileDownloader
from yt_dlp.downloader.external import FFmpegFD
from yt_dlp.downloader.hls import HlsFD
from yt_dlp.extractor.generic import GenericIE
from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

from trawler_common.text import sanitize
from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineName, MediaKind, Source
from trawler_worker.fetcher import languages
from trawler_worker.fetcher.engines import (
    extractor_index,
    ytdlp_about,
    ytdlp_http,
    ytdlp_lists,
    ytdlp_subtitles,
)
from trawler_worker.fetcher.engines.base import Fetched, Found, Picture, Report
from trawler_worker.fetcher.engines.site_pictures import SitePictures
from trawler_worker.fetcher.engines.ytdlp_browsers import browsing_as
from trawler_worker.fetcher.engines.ytdlp_faults import failure_of
from trawler_worker.fetcher.engines.ytdlp_formats import chooser
from trawler_worker.fetcher.errors import EngineDeclined, FetchError
from trawler_worker.fetcher.limits import too_large
from trawler_worker.fetcher.media.ffmpeg import CLOSED
from trawler_worker.fetcher.network.http import Client
from trawler_worker.protocol import Fetch

MAX_REQUESTS: Final = 10_000
"""Maximum number of requests of one job: a three-line playlist can cause hundreds."""


LIVE: Final = "This is live; try again when it is over."


class _Silent:
    """Discards yt-dlp's messages: they contain text from the site, none of which leaves the
    process.
    """

    def debug(self, _: str) -> None: ...
    def info(self, _: str) -> None: ...
    def warning(self, _: str) -> None: ...
    def error(self, _: str) -> None: ...


def options(proxy: str) -> dict[str, Any]:
    """Options that apply to every job."""
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
    """Disable what a job must not use. Runs once per process, before the warm-up."""
    FFmpegFD.real_download = _no_ffmpeg_download
    HlsFD.can_download = staticmethod(_not_while_live(HlsFD.can_download))
    FFmpegPostProcessor.real_run_ffmpeg = _closed(FFmpegPostProcessor.real_run_ffmpeg)
    FFmpegPostProcessor.get_metadata_object = _closed_probe(FFmpegPostProcessor.get_metadata_object)
    ytdlp_http.leave_addresses_alone()
    extractor_index.teach(GenericIE)
    # yt-dlp formats tables and progress lines for every job, but they are never shown
    yt_dlp.YoutubeDL._forceprint = _print_nothing  # noqa: SLF001
    FileDownloader.report_progress = _print_nothing


def _closed(run: Any) -> Any:
    """Restrict yt-dlp's ffmpeg to downloaded files: it reads real media containers from files, and
    nothing that these refer to.
    """

    def closed(self: Any, inputs: Any, outputs: Any, **more: Any) -> Any:
        return run(self, [(path, [*CLOSED, *given]) for path, given in inputs], outputs, **more)

    return closed


def _closed_probe(look: Any) -> Any:
    def closed(self: Any, path: Any, opts: Any = ()) -> Any:
        return look(self, path, [*CLOSED, *opts])

    return closed


def _no_ffmpeg_download(*_: Any) -> bool:
    """Refuse downloads by ffmpeg: it opens its own connections, which our guard does not see. Live
    streams would need it.
    """
    raise FetchError(FailureReason.NOT_SUPPORTED, "Streams of this kind are not supported yet.")


def _not_while_live(judge: Any) -> Any:
    """Refuse streams that are still live. Extractors do not always report this; the playlist does
    (RFC 8216, section 4.3.3).
    """

    def judged(manifest: str, *rest: Any) -> Any:
        ends = "#EXT-X-ENDLIST" in manifest or "#EXT-X-PLAYLIST-TYPE:VOD" in manifest
        if "#EXTINF" in manifest and not ends:
            raise FetchError(FailureReason.UNAVAILABLE, LIVE)
        return judge(manifest, *rest)

    return judged


def _print_nothing(*_: Any) -> dict[str, Any]:
    return {}


class YtDlp:
    """A warmed-up yt-dlp. One job uses it up, which is why jobs run in forks."""

    name = EngineName.YT_DLP
    second_hand = False

    def __init__(self, proxy: str = "") -> None:
        bound_library()
        self._ydl = yt_dlp.YoutubeDL(options(proxy))
        self._client = Client(proxy)
        # browser impersonation uses a separate library, whose sockets only a proxy can guard
        kind = browsing_as(proxy) if proxy else ytdlp_http.TrawlerRH
        director, self._network = ytdlp_http.director(self._ydl, self._client, kind)
        self._ydl._request_director = director  # noqa: SLF001
        self._extract, self._open = self._ydl.extract_info, self._ydl.urlopen
        self._process, self._download = self._ydl.process_ie_result, self._ydl.dl
        self._shortlist = extractor_index.Shortlist(self._ydl._ies)  # noqa: SLF001

    def warm(self, url: str, scratch: Path) -> None:
        """Fetch once, so that tables, patterns and TLS contexts are built before the fork.

        This runs without the shortlist: every extractor is asked, and thus compiles its patterns.
        """
        self._ydl.params["outtmpl"]["default"] = str(scratch / "warm.%(ext)s")
        self._ydl.extract_info(url, download=True)
        self._ydl.cookiejar.clear()
        self._network.close()  # every job would inherit an open connection

    def fetch(self, order: Fetch, scratch: Path, report: Report) -> Found:
        if order.media.kind is MediaKind.IMAGE:
            raise EngineDeclined(FailureReason.NOT_SUPPORTED, "YtDlp does not fetch pictures.")
        judge = _Judge(order, report, self._network.called)
        ydl = self._prepare(order, scratch, report, judge)
        try:
            info = ydl.extract_info(order.url, download=True)
            entries = _entries(info)
        except FetchError:
            raise
        except Exception as error:
            raise failure_of(error, begun=judge.taken) from error
        finally:
            self._network.close()
        measured = not self._network.unmeasured
        for entry in entries:
            _call(entry, self._network.called)
        return Found(
            files=_files(entries, self._pictures(entries, order, scratch), measured=measured),
            source=_source(info, entries),
            about=ytdlp_about.about(info, entries),
            languages=tuple(ytdlp_subtitles.offered(entries[0])),
        )

    def _pictures(
        self, entries: list[dict[str, Any]], order: Fetch, scratch: Path
    ) -> list[Picture]:
        """The site's picture of each entry, fetched on demand."""
        budget = SitePictures(self._client)
        return [
            budget.at(entry.get("thumbnail"), scratch / f"{order.job}-{number}.picture")
            for number, entry in enumerate(entries, 1)
        ]

    def _prepare(self, order: Fetch, scratch: Path, report: Report, judge: "_Judge") -> Any:
        ydl = self._ydl
        ydl.params |= {
            "format_sort": ["res", "vcodec:h264", "acodec:aac"],
            "playlist_items": f"1:{order.limits.max_files + 1}",
            "match_filter": judge,
            "cookiefile": io.StringIO(),
            "writesubtitles": bool(order.media.subtitles),
            "writeautomaticsub": bool(order.media.subtitles),
        }
        ydl.process_subtitles = ytdlp_subtitles.chooser(order.media)
        ydl.params["outtmpl"]["default"] = str(scratch / f"{order.job}-%(autonumber)s.%(ext)s")
        ydl.format_selector = chooser(order, ydl.build_format_selector)
        self._network.begin(report)
        ydl._ies = self._shortlist  # noqa: SLF001
        ydl.extract_info = self._shortlist.directed(self._extract)
        ydl.process_ie_result = ytdlp_lists.PlaylistJudge(self._process, order).judged
        ydl.dl = ytdlp_subtitles.forgiving(self._download)
        ydl._num_downloads = 0  # noqa: SLF001 - the warm-up counted
        ydl._playlist_urls.clear()  # noqa: SLF001
        ydl._progress_hooks = [_Meter(order, report)]  # noqa: SLF001
        ydl.urlopen = _counted(self._open)
        return ydl


class _Meter:
    """Sums the bytes of all files of the job, and stops the job if they exceed its limit."""

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
    entries = list(_single(info))
    if not entries:
        raise FetchError(FailureReason.NOTHING_FOUND)
    return entries


def _single(info: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All entries that are not lists themselves. A page may contain lists of lists."""
    if info.get("entries") is None:
        yield info
    for entry in info.get("entries") or ():
        if entry:
            yield from _single(entry)


def _call(info: dict[str, Any], called: Mapping[str, str]) -> None:
    """Set the title of a file that is its own page and therefore has none: the site's name for the
    file is better than a word of its address.
    """
    if info.get("direct") and (name := called.get(str(info.get("url")))) is not None:
        info["title"] = name


class _Judge:
    """The filter that yt-dlp calls before it downloads an entry: it accepts the entry, or ends the
    whole job. By then the metadata is known, so the filter reports it. An entry with the same
    addresses as an earlier one is skipped: a page may show one video twice.
    """

    def __init__(self, order: Fetch, report: Report, called: Mapping[str, str]) -> None:
        self._limits = order.limits
        self._with_texts = bool(order.media.subtitles)
        self._report = report
        self._called = called
        self._seen: set[tuple[str, ...]] = set()

    @property
    def taken(self) -> bool:
        """Whether an entry was accepted, so that fetching has begun."""
        return bool(self._seen)

    def __call__(self, info: dict[str, Any], *, incomplete: bool) -> str | None:
        self._check_count(info.get("n_entries") or 1)
        if info.get("is_live") or info.get("live_status") == "is_upcoming":
            raise FetchError(FailureReason.UNAVAILABLE, LIVE)
        if incomplete:
            return None
        for form in info.get("requested_formats") or [info]:
            if (form.get("filesize") or 0) > self._limits.max_bytes:
                raise too_large(self._limits)
        if self._with_texts and (info.get("n_entries") or 1) == 1:
            there = ytdlp_subtitles.offered(info)
            if there and not info.get("requested_subtitles"):
                raise languages.not_offered(there)
        if not self._seen:
            _call(info, self._called)
            self._report.told(_title(info), _thumbnail(info), _age_limit(info))
        addressed = tuple(str(form.get("url")) for form in info.get("requested_formats") or [info])
        if addressed in self._seen:
            return "the same once more"
        self._seen.add(addressed)
        self._check_count(len(self._seen))  # includes the entries of nested lists
        return None

    def _check_count(self, count: int) -> None:
        if count > self._limits.max_files:
            raise FetchError(
                FailureReason.TOO_LARGE,
                f"There are more than the {self._limits.max_files} files allowed.",
            )


def _title(info: dict[str, Any]) -> str | None:
    title = info.get("playlist_title") or _own_title(info)
    return sanitize(title, limit=256) or None if title else None


def _own_title(info: dict[str, Any]) -> str | None:
    """The title of the video. yt-dlp numbers the videos of a page even if there is only one; in
    that case, the number is removed.
    """
    title = info.get("title")
    if not title:
        return None
    alone = (info.get("n_entries") or 1) == 1 and str(info.get("id")).endswith("-1")
    return str(title).removesuffix(" (1)") if alone else str(title)


def _thumbnail(info: dict[str, Any]) -> str | None:
    """The address of the thumbnail, only if everyone can open it."""
    address = str(info.get("thumbnail") or "")
    return address if address.startswith("https://") and not addresses.fault(address) else None


def _files(entries: list[dict[str, Any]], shown: list[Picture], *, measured: bool) -> list[Fetched]:
    return [
        Fetched(
            path=Path(str(download["filepath"])),
            seconds=entry.get("duration"),
            measured=measured,
            assembled=_is_assembled(download, entry),
            repaired=bool(download.get("__postprocessors")),
            texts=ytdlp_subtitles.fetched(entry),
            picture=picture,
            caption=ytdlp_about.caption(entry) if len(entries) > 1 else None,
        )
        for entry, picture in zip(entries, shown, strict=True)
        for download in entry.get("requested_downloads") or []
        if download.get("filepath")
    ]


def _is_assembled(download: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether the file was merged, or joined from segments."""
    protocol = download.get("protocol") or entry.get("protocol")
    return bool(download.get("requested_formats")) or protocol not in {"http", "https"}


def _source(info: dict[str, Any], entries: list[dict[str, Any]]) -> Source:
    first = entries[0]

    def text(key: str, limit: int) -> str | None:
        value = info.get(key) or first.get(key)
        return sanitize(str(value), limit=limit) or None if value else None

    return Source(
        title=_title(first if len(entries) == 1 else info) or _title(first),
        author=text("uploader", 128),
        page=text("webpage_url", 2048),
        extractor=text("extractor_key", 64),
        age_limit=max(filter(None, map(_age_limit, entries)), default=_age_limit(first)),
    )


def _age_limit(info: Mapping[str, Any]) -> int | None:
    """Age in years below which the site does not show the media, if it states one."""
    age = info.get("age_limit")
    return age if isinstance(age, int) and 0 <= age <= 99 else None
