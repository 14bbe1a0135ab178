"""A file is a success only when it was proved: "no error" is not proof."""

from pathlib import Path
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import AudioFormat, Limits, Media, MediaKind
from trawler_worker import naming
from trawler_worker.fetcher import media as tools
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.sniff import HEAD, M4A, FileType, sniff
from trawler_worker.fetcher.wholeness import is_whole
from trawler_worker.protocol import Proved

_TOLERANCE_SHARE: Final = 0.02
_TOLERANCE_SECONDS: Final = 2.0

_MISSING: Final = {
    MediaKind.VIDEO: "There is no video at this address.",
    MediaKind.AUDIO: "There is no sound at this address.",
    MediaKind.IMAGE: "There is no picture at this address.",
}


def prove_all(
    files: list[tuple[Path, float | None]],
    *,
    scratch: Path,
    media: Media,
    limits: Limits,
    title: str | None,
    url: str,
) -> list[Proved]:
    """Prove every (file, announced seconds). Raises FetchError for the first that fails."""
    if not files:
        raise FetchError(FailureReason.NOTHING_FOUND)
    if len(files) > limits.max_files:
        raise FetchError(
            FailureReason.TOO_LARGE, f"There are more than the {limits.max_files} files allowed."
        )
    proved = [
        prove(path, seconds, media=media, title=title, url=url, number=n, count=len(files))
        for n, (path, seconds) in enumerate(files, 1)
    ]
    if sum(file.bytes for file in proved) > limits.max_bytes:
        raise too_large(limits)
    return [
        file.model_copy(update={"path": str(Path(file.path).relative_to(scratch))})
        for file in proved
    ]


def too_large(limits: Limits) -> FetchError:
    """More bytes than the job may fetch."""
    return FetchError(
        FailureReason.TOO_LARGE, f"This is larger than the {limits.max_bytes} bytes allowed."
    )


def prove(
    path: Path,
    announced: float | None,
    *,
    media: Media,
    title: str | None,
    url: str,
    number: int,
    count: int,
) -> Proved:
    """Prove one file and convert it to what was asked for. Raises FetchError."""
    kind, inside = _examine(path, announced)
    if media.kind is MediaKind.AUDIO and inside.audio and _needs_converting(kind, inside, media):
        path = tools.extract_audio(path, kind, inside, media.audio_format)
        kind, inside = _examine(path, announced)
    _fits_the_wish(kind, inside, media)
    return Proved(
        path=str(path),
        name=naming.file_name(
            title=title,
            url=url,
            extension="opus" if path.suffix == ".opus" else kind.extension,
            number=number,
            count=count,
        ),
        bytes=path.stat().st_size,
        type=kind.type,
        width=inside.width,
        height=inside.height,
        seconds=round(inside.seconds, 3) if inside.seconds is not None else None,
    )


def _examine(path: Path, announced: float | None) -> tuple[FileType, tools.Probe]:
    if not path.is_file() or path.is_symlink() or path.stat().st_size == 0:
        raise FetchError(FailureReason.SITE_ERROR, "The site sent an empty file.")
    with path.open("rb") as file:
        kind = sniff(file.read(HEAD))
    if kind is None:
        raise FetchError(
            FailureReason.NOT_SUPPORTED, "What the site sent is not media that we know."
        )
    if not is_whole(path, kind):
        raise FetchError(FailureReason.SITE_ERROR, "The site sent only a part of the file.")
    inside = tools.probe(path, kind)
    if kind.extension == "mp4" and not inside.video and inside.audio:
        kind = M4A
    if announced and inside.seconds is not None:
        allowed = max(_TOLERANCE_SECONDS, announced * _TOLERANCE_SHARE)
        if abs(inside.seconds - announced) > allowed:
            raise FetchError(
                FailureReason.SITE_ERROR, "The file is not as long as the site announced."
            )
    return kind, inside


def _needs_converting(kind: FileType, inside: tools.Probe, media: Media) -> bool:
    if inside.video or kind.image:
        return True
    own = {
        "mp3": AudioFormat.MP3,
        "m4a": AudioFormat.M4A,
        "flac": AudioFormat.FLAC,
        "wav": AudioFormat.WAV,
    }.get(kind.extension)
    if kind.extension == "ogg" and inside.audio_codec == "opus":
        own = AudioFormat.OPUS
    return media.audio_format is not None and media.audio_format is not own


def _fits_the_wish(kind: FileType, inside: tools.Probe, media: Media) -> None:
    found = {
        MediaKind.AUTO: True,
        MediaKind.VIDEO: inside.video,
        MediaKind.AUDIO: inside.audio and not inside.video,
        MediaKind.IMAGE: kind.image,
    }
    if not found[media.kind]:
        raise FetchError(FailureReason.NOTHING_FOUND, _MISSING[media.kind])
    if inside.video and media.max_height and (inside.height or 0) > media.max_height:
        raise FetchError(
            FailureReason.NOT_SUPPORTED,
            f"The smallest version offered is {inside.height} pixels high,"
            f" more than the {media.max_height} asked for.",
        )
