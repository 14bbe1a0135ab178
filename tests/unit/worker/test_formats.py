"""Which of the versions that a site offers is taken."""

from typing import Any

import pytest
import yt_dlp

from fetching import order
from trawler_crds.media_job import DeliverAs, Media
from trawler_worker.fetcher.engines.ytdlp_formats import chooser


@pytest.fixture(scope="module")
def ydl() -> Any:
    return yt_dlp.YoutubeDL({"quiet": True, "format_sort": ["res", "vcodec:h264", "acodec:aac"]})


def form(
    name: str, width: int, height: int, vcodec: str = "none", acodec: str = "none", **more: Any
) -> Any:
    ext = "webm" if vcodec.startswith("vp") or acodec == "opus" else "mp4"
    sides = {"width": width, "height": height} if width else {}
    address = {"format_id": name, "url": f"http://a/{name}", "protocol": "http", "ext": ext}
    return {**address, "vcodec": vcodec, "acodec": acodec, **sides, **more}


AVC_720 = form("avc720", 1280, 720, "avc1.4d401f")
AVC_360 = form("avc360", 640, 360, "avc1.4d401f")
UPRIGHT = form("upright", 1080, 1920, "avc1.4d401f")
VP9_1080 = form("vp9", 1920, 1080, "vp9")
HEVC_1080 = form("hevc", 1920, 1080, "hvc1")
AAC = form("aac", 0, 0, acodec="mp4a.40.2", abr=128)
OPUS = form("opus", 0, 0, acodec="opus", abr=128)
JOINED = form("joined", 640, 360, "avc1.4d401f", "mp4a.40.2")
UNSAID = {"format_id": "0", "url": "http://a/0", "protocol": "http", "ext": "D"}


@pytest.mark.parametrize(
    ("offered", "limit", "taken"),
    [
        ([AVC_720, AAC], None, "avc720+aac"),
        ([AVC_720, VP9_1080, AAC, OPUS], None, "vp9+opus"),
        ([AVC_360, VP9_1080, AAC], None, "avc360+aac"),
        ([AVC_720, HEVC_1080, AAC], None, "avc720+aac"),
        ([HEVC_1080, AAC], None, "hevc+aac"),
        ([AVC_720, VP9_1080, AAC, OPUS], 720, "avc720+aac"),
        ([UPRIGHT, AAC], 1080, "upright+aac"),
        ([UPRIGHT, AVC_360, AAC], 720, "avc360+aac"),
        ([AVC_720, AVC_360, AAC], 144, "avc360+aac"),
        ([JOINED, AVC_720, AAC], None, "avc720+aac"),
        ([JOINED], 144, "joined"),
        ([UNSAID], 720, "0"),
        ([VP9_1080], None, "vp9"),
        ([AAC], None, "aac"),
    ],
)
def test_what_plays_is_taken_in_the_best_quality_that_is_allowed(
    ydl: Any, offered: list[Any], limit: int | None, taken: str
) -> None:
    """Y03, M14: never a Matroska where something that plays is offered; quality is the shorter
    side.
    """
    media = Media.model_validate({"maxHeight": limit})
    assert taken == _taken(ydl, media, offered)


@pytest.mark.parametrize(
    ("offered", "taken"), [([AVC_720, AAC], "aac"), ([JOINED], "joined"), ([UNSAID], "0")]
)
def test_for_sound_only_the_sound_is_fetched_where_it_is_apart(
    ydl: Any, offered: list[Any], taken: str
) -> None:
    """Else it is taken out of the video."""
    assert taken == _taken(ydl, Media.model_validate({"kind": "Audio"}), offered)


def sized(of: dict[str, Any], size: int) -> dict[str, Any]:
    return {**of, "filesize": size}


AVC_1080 = form("avc1080", 1920, 1080, "avc1.640028")


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([AVC_720, VP9_1080, AAC, OPUS], "avc720+aac"),
        ([AVC_360, VP9_1080, AAC, OPUS], "vp9+opus"),
        ([AVC_360, form("vp9small", 640, 360, "vp9"), AAC, OPUS], "avc360+aac"),
        ([HEVC_1080, AVC_720, AAC], "avc720+aac"),
        ([HEVC_1080, AAC], "hevc+aac"),
    ],
)
def test_for_discord_a_good_version_that_plays_is_worth_more_than_a_better_one(
    ydl: Any, offered: list[Any], taken: str
) -> None:
    """The better one would have to be coded anew; a poor one is not worth that it plays at once."""
    assert taken == _taken(ydl, Media(deliver_as=DeliverAs.PLAYABLE), offered)


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        ((8, 5, 1), "avc1080+aac"),
        ((10, 5, 1), "avc720+aac"),
        ((20, 9, 1), "avc720+aac"),
        ((20, 10, 1), "avc360+aac"),
        ((30, 20, 10), "avc1080+aac"),
    ],
)
def test_the_best_version_whose_parts_together_fit_is_fetched(
    ydl: Any, sizes: tuple[int, int, int], taken: str
) -> None:
    """Sound is a megabyte, the limit ten; where none fits the best one, of which something is made
    that does.
    """
    films = zip((AVC_1080, AVC_720, AVC_360), sizes, strict=True)
    offered = [*(sized(film, size * 1_000_000) for film, size in films), sized(AAC, 1_000_000)]
    limits = {"limits": {"fitBytes": 10_000_000}}
    assert taken == _taken(ydl, Media(deliver_as=DeliverAs.PLAYABLE), offered, **limits)


def test_where_sizes_are_not_said_the_best_version_is_fetched(ydl: Any) -> None:
    limits = {"limits": {"fitBytes": 10}}
    assert "avc720+aac" == _taken(ydl, Media(), [AVC_720, AVC_360, AAC], **limits)


def test_an_ending_that_nobody_knows_does_no_harm(ydl: Any) -> None:
    """yt-dlp refuses to write a file that ends so; what it is, its bytes say."""
    _, found = _choose(ydl, Media(), [UNSAID])
    assert found["ext"] == "unknown_video"


def _taken(ydl: Any, media: Media, offered: list[Any], **more: Any) -> str:
    return _choose(ydl, media, offered, **more)[0]


def _choose(ydl: Any, media: Media, offered: list[Any], **more: Any) -> tuple[str, Any]:
    forms = [dict(each) for each in offered]
    info = {"id": "x", "title": "x", "formats": forms}
    ydl.sort_formats(info)
    select = chooser(order("http://a/", media=media, **more), ydl.build_format_selector)
    context = {"formats": info["formats"], "has_merged_format": True, "incomplete_formats": False}
    (found,) = select(context)
    return str(found["format_id"]), found
