"""Cobalt's API as it is published (docs/api.md of imputnet/cobalt, 10 and 11): every status, every
error code.
"""

import json
from typing import Any

import pytest

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import Media
from trawler_worker.fetcher.engines import cobalt_api, cobalt_faults
from trawler_worker.fetcher.engines.cobalt_api import Local, Picker, Redirect, Refusal, Tunnel
from trawler_worker.fetcher.errors import EngineDeclined, FetchError

PUBLISHED: dict[str, dict[str, Any]] = {
    "tunnel": {
        "status": "tunnel",
        "url": "https://api.example/tunnel?id=x",
        "filename": "youtube_x_1920x1080_h264.mp4",
    },
    "redirect": {"status": "redirect", "url": "https://cdn.example/a.mp4", "filename": "a.mp4"},
    "nameless": {"status": "redirect", "url": "https://v.redd.it/x/DASH_720.mp4"},
    "picker": {
        "status": "picker",
        "picker": [
            {"type": "photo", "url": "https://cdn.example/1.jpg"},
            {
                "type": "video",
                "url": "https://cdn.example/2.mp4",
                "thumb": "https://c.example/2.jpg",
            },
            {"type": "gif", "url": "https://cdn.example/3.mp4"},
        ],
    },
    "slideshow": {
        "status": "picker",
        "audio": "https://api.example/tunnel?id=a",
        "audioFilename": "tiktok_x_audio.mp3",
        "picker": [{"type": "photo", "url": "https://cdn.example/1.jpg"}],
    },
    "local": {
        "status": "local-processing",
        "type": "merge",
        "service": "youtube",
        "tunnel": ["https://api.example/tunnel?id=1", "https://api.example/tunnel?id=2"],
        "output": {
            "type": "video/mp4",
            "filename": "x.mp4",
            "metadata": {"title": "A title", "artist": "Somebody"},
            "subtitles": False,
        },
        "audio": {"copy": False, "format": "mp3", "bitrate": "128", "cover": True},
        "isHLS": False,
    },
    "error": {
        "status": "error",
        "error": {"code": "error.api.content.too_long", "context": {"limit": 180}},
    },
}
KINDS = {
    "tunnel": Tunnel,
    "redirect": Redirect,
    "nameless": Redirect,
    "picker": Picker,
    "slideshow": Picker,
    "local": Local,
    "error": Refusal,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_answer_is_read(name: str) -> None:
    """Also with keys that a later release adds."""
    for body in (PUBLISHED[name], {**PUBLISHED[name], "added": {"later": [1]}}):
        said = cobalt_api.answer(json.dumps(body).encode())
        assert isinstance(said, KINDS[name])
        again = said.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
        published: dict[str, Any] = {**PUBLISHED[name]}
        assert {key: published[key] for key in again if key not in NESTED} == {
            key: value for key, value in again.items() if key not in NESTED
        }


NESTED = {"picker", "output", "audio", "error"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"status": "stream", "url": "https://a.example/"}',
        b'{"status": "picker", "picker": []}',
        b'{"status": "tunnel"}',
        b'{"status": "tunnel", "url": 7}',
        b'{"status": "tunnel", "url": "' + b"x" * 20_000 + b'"}',
        b'{"status": "error"}',
        b'{"status": "error", "error": {"code": "x", "context": {"limit": 1e999}}}',
        b'{"status": "local-processing", "type": "merge", "tunnel": []}',
    ],
)
def test_what_is_no_answer_is_another_engines_chance(body: bytes) -> None:
    """Never a file, and never the end."""
    with pytest.raises(FetchError) as caught:
        cobalt_api.answer(body)
    assert caught.value.elsewhere
    assert FailureReason.SITE_ERROR == caught.value.reason


ACTIONS = {
    "next": [
        *("link.invalid", "link.unsupported", "service.disabled", "service.audio_not_supported"),
        "service.unsupported",
    ],
    "final": [
        *("content.too_long", "content.post.unavailable", "content.post.private"),
        *("content.post.age", "content.video.unavailable", "content.video.private"),
        *("content.video.age", "content.video.region", "content.video.live", "content.region"),
        *("content.paid", "youtube.drm"),
    ],
    "unclear": [
        *("fetch.empty", "fetch.fail", "fetch.critical", "fetch.short_link"),
        *("fetch.critical.core", "generic", "unknown"),
    ],
    "limited": [
        *("fetch.rate", "youtube.login", "youtube.token_expired", "youtube.no_session_tokens"),
        *("youtube.decipher", "youtube.api_error", "youtube.no_matching_format"),
        "youtube.no_hls_streams",
    ],
    "ours": [
        *("invalid_body", "link.missing", "header.accept", "header.content_type"),
        *("auth.key.missing", "auth.key.not_api_key", "auth.key.invalid", "auth.key.not_found"),
        *("auth.key.ip_not_allowed", "auth.key.ua_not_allowed", "auth.jwt.missing"),
        *("auth.jwt.invalid", "auth.turnstile.missing", "auth.turnstile.invalid"),
        "auth.not_configured",
    ],
    "busy": ["rate_exceeded"],
    "unheard": ["of.next.year"],
}
"""What the table of error codes says is done."""


@pytest.mark.parametrize(
    ("action", "code"), [(action, code) for action, codes in ACTIONS.items() for code in codes]
)
def test_each_error_code_has_its_class(action: str, code: str) -> None:
    """Whether another engine is asked, and what a person reads when none brings it."""
    refusal = Refusal.model_validate({"status": "error", "error": {"code": f"error.api.{code}"}})
    fault = cobalt_faults.failure_of(refusal, 7.0)
    assert (action == "final") is not fault.elsewhere
    assert isinstance(fault, EngineDeclined) is (action == "next")
    assert fault.message.endswith(".")
    expected = {
        "next": {"NotSupported"},
        "unclear": {"SiteError"},
        "unheard": {"SiteError"},
        "limited": {"Throttled"},
        "busy": {"Throttled"},
        "ours": {"Internal"},
        "final": {"Unavailable", "NeedsLogin", "TooLarge"},
    }
    assert str(fault.reason) in expected[action]
    assert (7.0 if action == "busy" else None) == fault.retry_after
    assert ("an unknown code" if action == "unheard" else code) == fault.note


def test_too_long_says_how_many_minutes() -> None:
    """`context.limit` is in minutes."""
    said = cobalt_api.answer(json.dumps(PUBLISHED["error"]).encode())
    assert isinstance(said, Refusal)
    assert "180 minutes" in cobalt_faults.failure_of(said, None).message


@pytest.mark.parametrize("version", [10, 11])
@pytest.mark.parametrize(
    "media", [{}, {"kind": "Audio", "audioFormat": "Opus"}, {"maxHeight": 500}, {"maxHeight": 100}]
)
def test_only_keys_that_every_release_of_a_version_knows_are_sent(
    version: int, media: dict[str, Any]
) -> None:
    """One that it does not know makes all of it `invalid_body`; so does a number for a word."""
    safe = {
        *("url", "videoQuality", "audioFormat", "audioBitrate", "downloadMode", "filenameStyle"),
        *("youtubeVideoCodec", "alwaysProxy", "disableMetadata", "tiktokFullAudio"),
    }
    since_11 = {"convertGif", "localProcessing"}
    body = cobalt_api.request("https://x.com/a", Media.model_validate(media), version, {})
    sent = json.loads(body)
    assert set(sent) <= safe | (since_11 if version == 11 else set())
    assert all(isinstance(value, str | bool) for value in sent.values())
    assert {"maxHeight": 500} != media or "480" == sent["videoQuality"]
    assert {"maxHeight": 100} != media or "144" == sent["videoQuality"]
    assert ("kind" in media) is (sent["downloadMode"] == "audio")
    assert "best" != sent["audioFormat"]


def test_a_link_that_is_too_long_for_it_is_not_asked() -> None:
    """1,024 bytes, all else included."""
    with pytest.raises(EngineDeclined):
        cobalt_api.request("https://x.com/" + "a" * 1000, Media(), 11, {})


@pytest.mark.parametrize(
    ("home", "version"),
    [
        (b'{"cobalt": {"version": "11.7.1", "services": []}, "git": {}}', 11),
        (b'{"cobalt": {"version": "10.9"}}', 10),
        (b'{"cobalt": {"version": "12.0"}}', None),
        (b'{"cobalt": {"version": "9.1"}}', None),
        (b'{"cobalt": {"version": "x"}}', None),
        (b'{"name": "something else"}', None),
        (b"<html>", None),
    ],
)
def test_only_versions_that_are_spoken_are_asked(home: bytes, version: int | None) -> None:
    """`GET /` says which."""
    if version is not None:
        assert version == cobalt_api.version_of(home)
        return
    with pytest.raises(FetchError) as caught:
        cobalt_api.version_of(home)
    assert caught.value.elsewhere
