"""Which of the offered versions is taken. yt-dlp's own words cannot say "the shorter side", nor
"what plays".
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
"""What needs no coding anew to play everywhere."""
GOOD: Final = 720
"""A quality that is worth more than a better one that has to be coded anew."""
PLAYABLE: Final = (_MP4, "b", _WEBM)
"""What Discord and browsers play: H.264 or AV1 with AAC in MP4, whatever the site joined itself,
VP8, VP9 or AV1 with Opus or Vorbis in WebM. All else would be joined into a Matroska, which nobody
plays.
"""


def quality(form: Form) -> int | None:
    """Pixels of the shorter side: an upright 1080 x 1920 is called 1080p."""
    sides = [
        side
        for side in (form.get("width"), form.get("height"))
        if isinstance(side, int | float) and side
    ]
    return int(min(sides)) if sides else None


def fitting(forms: list[Form], limit: int | None) -> list[Form]:
    """Those up to a quality, and those that do not say theirs; where there is none, the
    smallest.
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
    """An address may end in anything; what a file is, its bytes say."""
    if str(form.get("ext")).lower() not in _UnsafeExtensionError.ALLOWED_EXTENSIONS:
        form["ext"] = "unknown_video"


def chooser(order: Fetch, build: Callable[[str], Select]) -> Select:
    """A selector of formats as yt-dlp wants one; `build` makes such a one from its own words."""
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
            return [max(found, key=lambda form: quality(form) or 0)]  # of equals, the first
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
    """Qualities that are offered, from large to small."""
    found = {quality(form) or 0 for form in forms if _has_pictures(form)}
    return sorted((each for each in found if 0 < each <= (limit or each)), reverse=True)


def _bytes(forms: list[Form]) -> int:
    """Of a version, all its parts together; 0 where one does not say."""
    sizes = [_size(part) for form in forms for part in form.get("requested_formats") or [form]]
    return sum(sizes) if all(sizes) else 0


def _size(form: Form) -> int:
    said = form.get("filesize") or form.get("filesize_approx")
    return int(said) if isinstance(said, int | float) and said > 0 else 0
