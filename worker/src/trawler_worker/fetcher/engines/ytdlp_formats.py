"""Selects the formats to download. yt-dlp's own selectors cannot express "the shorter side" or
"playable".
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from yt_dlp.utils._utils import _UnsafeExtensionError

from trawler_crds.media_job import DeliverAs, MediaKind
from trawler_worker.protocol import Fetch

Form = dict[str, Any]
Select = Callable[[dict[str, Any]], Iterable[Form]]

SOUND: Final = "ba/b"
ANY: Final = "bv*+ba/b/bv*/ba"
_MP4: Final = "bv*[vcodec~='^(avc|h264|av01)']+ba[acodec~='^(mp4a|aac|mp3)']"
_WEBM: Final = "bv*[vcodec~='^(vp0?8|vp0?9|av01)']+ba[acodec~='^(opus|vorbis)']"
H264: Final = (
    "bv*[vcodec~='^(avc|h264)']+ba[acodec~='^(mp4a|aac)']/b[vcodec~='^(avc|h264)'][ext=mp4]"
)
"""Formats that play everywhere without re-encoding."""
GOOD: Final = 720
"""Quality (pixels of the shorter side) that is preferred to a better one that requires re-encoding.
"""
PLAYABLE: Final = (_MP4, "b", _WEBM)
"""Formats that Discord and browsers play: H.264 or AV1 with AAC in MP4, anything that the site
itself merged, VP8, VP9 or AV1 with Opus or Vorbis in WebM. All others would be merged into
Matroska, which neither plays.
"""


def quality(form: Form) -> int | None:
    """Pixels of the shorter side: an upright video of 1080 x 1920 is called 1080p."""
    sides = [
        side
        for side in (form.get("width"), form.get("height"))
        if isinstance(side, int | float) and side
    ]
    return int(min(sides)) if sides else None


def fitting(forms: list[Form], limit: int | None) -> list[Form]:
    """The formats up to a quality, and those of unknown quality. If none of these has a picture,
    adds the smallest that has one.
    """
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
    """Replace an extension that yt-dlp refuses. An address may end in anything; the bytes of the
    file determine its type.
    """
    if str(form.get("ext")).lower() not in _UnsafeExtensionError.ALLOWED_EXTENSIONS:
        form["ext"] = "unknown_video"


def chooser(order: Fetch, build: Callable[[str], Select]) -> Select:
    """Create a format selector for yt-dlp; `build` compiles one from yt-dlp's own syntax."""
    sound = order.media.kind is MediaKind.AUDIO
    playable = order.media.deliver_as is DeliverAs.PLAYABLE and not sound
    best = build(H264) if playable else None
    preferred = [] if sound else [build(words) for words in PLAYABLE]
    otherwise = build(SOUND if sound else ANY)

    def pick(context: dict[str, Any], limit: int | None) -> list[Form]:
        narrowed = {**context, "formats": fitting(list(context["formats"]), limit)}
        found = [form for select in preferred for form in select(dict(narrowed))]
        plain = list(best(dict(narrowed))) if best is not None else []
        top = max((quality(form) or 0 for form in found), default=0)
        if plain and (quality(plain[0]) or 0) >= min(top, GOOD):
            return plain
        if found:
            return [max(found, key=lambda form: quality(form) or 0)]  # the first of equals
        return list(otherwise(narrowed))

    def choose(context: dict[str, Any]) -> Iterator[Form]:
        for form in context["formats"]:
            _name_safely(form)
        limits = [order.media.max_height]
        if order.limits.fit_bytes is not None and not sound:
            limits += _steps(context["formats"], order.media.max_height)
        picked = [pick(context, limit) for limit in limits]
        known = (each for each in picked if 0 < _bytes(each) <= (order.limits.fit_bytes or 0))
        yield from next(known, picked[0])

    return choose


def _steps(forms: list[Form], limit: int | None) -> list[int]:
    """The offered qualities up to the limit, highest first."""
    found = {quality(form) or 0 for form in forms if _has_pictures(form)}
    return sorted((each for each in found if 0 < each <= (limit or each)), reverse=True)


def _bytes(forms: list[Form]) -> int:
    """Bytes of a selection, all parts together; 0 if the size of a part is unknown."""
    sizes = [_size(part) for form in forms for part in form.get("requested_formats") or [form]]
    return sum(sizes) if all(sizes) else 0


def _size(form: Form) -> int:
    said = form.get("filesize") or form.get("filesize_approx")
    return int(said) if isinstance(said, int | float) and said > 0 else 0
