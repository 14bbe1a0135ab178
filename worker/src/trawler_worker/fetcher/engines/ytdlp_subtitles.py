"""Which of a site's subtitles are taken: what somebody wrote before what a machine heard. Pure."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from trawler_crds.media_job import MOST_LANGUAGES, Media
from trawler_worker.fetcher import languages
from trawler_worker.fetcher.engines.base import Text
from trawler_worker.fetcher.errors import FetchError

FORMATS: Final = ("srt", "vtt", "ass", "ssa", "ttml")
"""Those that are read, the easiest first."""

Forms = Mapping[str, Any]
"""Language → the forms in which a site has it, as yt-dlp lists them."""


def chooser(media: Media) -> Callable[[Any, Forms | None, Forms | None], dict[str, Any] | None]:
    """In place of yt-dlp's own choice, which knows no `en` in `en-GB`."""

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
    """yt-dlp's download of one file: subtitles that cannot be had fail nothing. Raises FetchError
    for a limit.
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
    """Language → its best form; without chats, and what nobody reads."""
    best = {}
    for language, each in (forms or {}).items():
        if languages.tag(language) == languages.UNKNOWN or not isinstance(each, list):
            continue
        known = [form for form in each if form.get("ext") in FORMATS]
        if known:
            best[language] = min(known, key=lambda form: FORMATS.index(form["ext"]))
    return best


def offered(info: Mapping[str, Any]) -> list[str]:
    """Languages that a site has, as people write them: what was written, else what a machine
    heard.
    """
    known = _usable(info.get("subtitles")) or _usable(info.get("automatic_captions"))
    return sorted(set(map(languages.tag, known)))[:MOST_LANGUAGES]


def fetched(entry: Mapping[str, Any]) -> tuple[Text, ...]:
    """What was written to files."""
    return tuple(
        Text(path=Path(str(form["filepath"])), language=language)
        for language, form in (entry.get("requested_subtitles") or {}).items()
        if form.get("filepath") and Path(str(form["filepath"])).exists()
    )
