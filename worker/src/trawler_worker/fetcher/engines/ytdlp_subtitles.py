"""Selects the subtitles to download: those written by people before automatic captions. Pure."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from trawler_crds.media_job import MOST_LANGUAGES, Media
from trawler_worker.fetcher import languages
from trawler_worker.fetcher.engines.base import Text
from trawler_worker.fetcher.errors import FetchError

FORMATS: Final = ("srt", "vtt", "ass", "ssa", "ttml")
"""Supported formats, the easiest to read first."""

Forms = Mapping[str, Any]
"""Language → the formats in which a site has it, as yt-dlp lists them."""


def chooser(media: Media) -> Callable[[Any, Forms | None, Forms | None], dict[str, Any] | None]:
    """Replace yt-dlp's own selection, which does not match `en` with `en-GB`."""

    def choose(_: Any, written: Forms | None, heard: Forms | None) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        for wanted in media.subtitles or ():
            for known in (_usable(written), _usable(heard)):
                language = languages.best(wanted, known)
                if language is not None:
                    found.setdefault(languages.tag(language), dict(known[language]))
                    break
        return found or None

    return choose


def forgiving(download: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap yt-dlp's download of one file: subtitles that cannot be downloaded fail no job. Raises
    FetchError for a limit.
    """

    def fetch(name: str, info: Any, *rest: Any, subtitle: bool = False, **more: Any) -> Any:
        if not subtitle:
            return download(name, info, *rest, **more)
        try:
            return download(name, info, *rest, subtitle=True, **more)
        except FetchError:
            raise
        except Exception:  # noqa: BLE001 - whatever its site does
            return False, False

    return fetch


def _usable(forms: Forms | None) -> dict[str, Any]:
    """Language → its best format, without chats and unsupported formats."""
    best = {}
    for language, each in (forms or {}).items():
        if languages.tag(language) == languages.UNKNOWN or not isinstance(each, list):
            continue
        known = [form for form in each if form.get("ext") in FORMATS]
        if known:
            best[language] = min(known, key=lambda form: FORMATS.index(form["ext"]))
    return best


def offered(info: Mapping[str, Any]) -> list[str]:
    """Languages of the subtitles that a site offers, as people write them: of the written ones,
    otherwise of the automatic captions.
    """
    known = _usable(info.get("subtitles")) or _usable(info.get("automatic_captions"))
    return sorted(set(map(languages.tag, known)))[:MOST_LANGUAGES]


def fetched(entry: Mapping[str, Any]) -> tuple[Text, ...]:
    """The subtitles that were written to files."""
    return tuple(
        Text(path=Path(str(form["filepath"])), language=language)
        for language, form in (entry.get("requested_subtitles") or {}).items()
        if form.get("filepath") and Path(str(form["filepath"])).exists()
    )
