"""The protocol of Cobalt's API, versions 10 and 11, as published (docs/api.md of imputnet/cobalt).
Pure.

All answers are untrusted: addresses are validated like those that people type, and no file name is
trusted.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import AudioFormat, Media, MediaKind
from trawler_worker.fetcher.errors import EngineDeclined, FetchError
from trawler_worker.fetcher.network.targets import MAX_SENT

MAX_BODY: Final = 1024
"""Maximum size of a request in bytes. Cobalt refuses a longer one as "invalid_body" (observed)."""
MAX_ANSWER: Final = 1024 * 1024
VERSIONS: Final = (10, 11)
HEADERS: Final = {
    # Cobalt checks these first, and refuses any other spelling
    "Accept": "application/json",
    "Content-Type": "application/json",
}
QUALITIES: Final = (144, 240, 360, 480, 720, 1080, 1440, 2160, 4320)
_FORMATS: Final = {AudioFormat.MP3: "mp3", AudioFormat.OPUS: "opus", AudioFormat.WAV: "wav"}
"""Audio formats that are requested from Cobalt directly; the others are converted here. Never
`best`: for sites without a format of their own, it yields an empty file (observed).
"""

Url = Annotated[str, Field(min_length=1, max_length=MAX_SENT)]
Name = Annotated[str | None, Field(max_length=4096)]


class _Said(BaseModel):
    """Base of all messages: camelCase names; unknown fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Tunnel(_Said):
    """A file that Cobalt relays."""

    status: Literal["tunnel"]
    url: Url
    filename: Name = None


class Redirect(_Said):
    """A file at the site itself."""

    status: Literal["redirect"]
    url: Url
    filename: Name = None


class Picked(_Said):
    """One of several files. It has no name."""

    type: Annotated[str, Field(max_length=32)] = "photo"
    url: Url


class Picker(_Said):
    """Several files in order, and the audio of a slideshow."""

    status: Literal["picker"]
    picker: Annotated[list[Picked], Field(min_length=1, max_length=1000)]
    audio: Url | None = None
    audio_filename: Name = None


class Output(_Said):
    """The file that local processing creates."""

    filename: Name = None
    type: Annotated[str | None, Field(max_length=128)] = None


class Sound(_Said):
    """How local processing encodes the audio."""

    copied: Annotated[bool, Field(alias="copy")] = False
    format: Annotated[str | None, Field(max_length=32)] = None
    bitrate: Annotated[str | None, Field(max_length=16)] = None


class Local(_Said):
    """The parts of a file, and how to assemble them here."""

    status: Literal["local-processing"]
    type: Annotated[str, Field(max_length=32)]
    service: Annotated[str | None, Field(max_length=64)] = None
    tunnel: Annotated[list[Url], Field(min_length=1, max_length=8)]
    output: Output = Output()
    audio: Sound | None = None
    is_hls: Annotated[bool, Field(alias="isHLS")] = False


class _Context(_Said):
    service: Annotated[str | None, Field(max_length=64)] = None
    limit: Annotated[float | None, Field(ge=0, le=604_800, allow_inf_nan=False)] = None


class _Error(_Said):
    code: Annotated[str, Field(max_length=200)]
    context: _Context | None = None


class Refusal(_Said):
    """An error: why Cobalt returns no media."""

    status: Literal["error"]
    error: _Error


Answer = Tunnel | Redirect | Picker | Local
_ANSWERS: Final[TypeAdapter[Answer | Refusal]] = TypeAdapter(
    Annotated[Answer | Refusal, Field(discriminator="status")]
)


class _Instance(_Said):
    version: Annotated[str, Field(max_length=64)]


class _Home(_Said):
    cobalt: _Instance


def version_of(data: bytes) -> int:
    """The major version in an answer to `GET /`. Raises FetchError if we do not support it."""
    try:
        said = _Home.model_validate_json(data).cobalt.version
    except ValidationError:
        raise unreadable("What answers there is no Cobalt.") from None
    major = said.partition(".")[0]
    found = int(major) if major.isascii() and major.isdigit() and len(major) < 6 else 0
    if found not in VERSIONS:
        raise FetchError(
            FailureReason.INTERNAL,
            "This Cobalt is of a version that Trawler does not speak.",
            elsewhere=True,
            note=f"version {found}",
        )
    return found


def unreadable(message: str) -> FetchError:
    """The failure for an answer that violates the protocol."""
    return FetchError(FailureReason.SITE_ERROR, message, elsewhere=True, note="unreadable")


def request(url: str, media: Media, version: int, defaults: Mapping[str, str]) -> bytes:
    """Build a request, only from fields that every release of this version knows. Raises
    EngineDeclined if it is too long.
    """
    asked: dict[str, Any] = {
        "url": url,
        "videoQuality": _quality(media, defaults.get("quality", "1080")),
        "audioFormat": _FORMATS.get(
            media.audio_format or AudioFormat.M4A, defaults.get("audioFormat", "mp3")
        ),
        "downloadMode": "audio" if media.kind is MediaKind.AUDIO else "auto",
        "youtubeVideoCodec": defaults.get("codec", "h264"),
    }
    if version >= 11:
        # converting a ten-second clip takes 15 seconds, and the GIF is six times as large
        # as the clip (observed)
        asked |= {"convertGif": False, "localProcessing": "disabled"}
    body = json.dumps(asked, separators=(",", ":")).encode()
    if len(body) > MAX_BODY:
        raise EngineDeclined(
            FailureReason.NOT_SUPPORTED, "The link is longer than Cobalt takes.", note="too long"
        )
    return body


def _quality(media: Media, usual: str) -> str:
    if media.max_height is None:
        return usual
    fitting = [quality for quality in QUALITIES if quality <= media.max_height]
    wanted = fitting[-1] if fitting else QUALITIES[0]
    return str(min(wanted, int(usual))) if usual.isdigit() else str(wanted)


def answer(data: bytes) -> Answer | Refusal:
    """Parse an answer. Raises FetchError if the protocol does not define it."""
    try:
        return _ANSWERS.validate_json(data)
    except ValidationError:
        raise unreadable("Cobalt answered with something that is no answer.") from None
