"""Which of the offered versions is taken. yt-dlp's own words cannot say "the shorter side", nor "what plays"."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from yt_dlp.utils._utils import _UnsafeExtensionError

from trawler_crds.media_job import MediaKind
from trawler_worker.protocol import Fetch

Form = dict[str, Any]
Select = Callable[[dict[str, Any]], Iterable[Form]]

SOUND: Final = "ba/b"
ANY: Final = "bv*+ba/b/bv*/ba"
_MP4: Final = "bv*[vcodec~='^(avc|h264|av01)']+ba[acodec~='^(mp4a|aac|mp3)']"
_WEBM: Final = "bv*[vcodec~='^(vp0?8|vp0?9|av01)']+ba[acodec~='^(opus|vorbis)']"
PLAYABLE: Final = (_MP4, "b", _WEBM)
"""What Discord and browsers play: H.264 or AV1 with AAC in MP4, whatever the site joined itself, VP8, VP9 or AV1
with Opus or Vorbis in WebM. All else would be joined into a Matroska, which nobody plays."""


def quality(form: Form) -> int | None:
    """Pixels of the shorter side: an upright 1080 x 1920 is called 1080p."""
    sides = [
        side
        for side in (form.get("width"), form.get("height"))
        if isinstance(side, int | float) and side
    ]
    return int(min(sides)) if sides else None


def fitting(forms: list[Form], limit: int | None) -> list[Form]:
    """Those up to a quality, and those that do not say theirs; where there is none, the smallest."""
    if limit is None:
        return forms
    found = [form for form in forms if (quality(form) or 0) <= limit]
    if any(_has_pictures(form) for form in found):
        return found
    pictures = [form for form in forms if _has_pictures(form)]
    smallest = min((quality(form) or 0 for form in pictures), default=0)
    return [*found, *(form for form in pictures if (quality(form) or 0) == smallest)]


def _has_pictures(form: Form) -> bool:
    return form.get("vcodec") != "none"


def _name_safely(form: Form) -> None:
    """An address may end in anything; what a file is, its bytes say."""
    if str(form.get("ext")).lower() not in _UnsafeExtensionError.ALLOWED_EXTENSIONS:
        form["ext"] = "unknown_video"


def chooser(order: Fetch, build: Callable[[str], Select]) -> Select:
    """A selector of formats as yt-dlp wants one; `build` makes such a one from its own words."""
    sound = order.media.kind is MediaKind.AUDIO
    preferred = [] if sound else [build(words) for words in PLAYABLE]
    otherwise = build(SOUND if sound else ANY)

    def choose(context: dict[str, Any]) -> Iterator[Form]:
        for form in context["formats"]:
            _name_safely(form)
        narrowed = {**context, "formats": fitting(list(context["formats"]), order.media.max_height)}
        found = [form for select in preferred for form in select(dict(narrowed))]
        if found:
            yield max(found, key=lambda form: quality(form) or 0)  # of equals, the first
        else:
            yield from otherwise(narrowed)

    return choose
