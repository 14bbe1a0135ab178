"""A file is a success only when it was proved: "no error" is not proof."""

import filecmp
import functools
import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import AudioFormat, Media, MediaKind, SubtitleMode, Verified
from trawler_worker import filenames
from trawler_worker.fetcher import languages
from trawler_worker.fetcher.conversion import labels, sound, subtitle_tracks, thumbnails
from trawler_worker.fetcher.conversion.converter import Converter, Cover, Moved
from trawler_worker.fetcher.engines.base import Fetched, Found
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.limits import too_large
from trawler_worker.fetcher.media.containers.reading import Ending
from trawler_worker.fetcher.media.inspection import Inspected, inspect
from trawler_worker.fetcher.media.sniff import OGG
from trawler_worker.files import NotPlain, opened
from trawler_worker.protocol import Fetch, ValidFile

_TOLERANCE_SHARE: Final = 0.02
_TOLERANCE_SECONDS: Final = 2.0

LEAST_SIDE: Final = 200
"""Pixels of the shorter side of a picture that is more than decoration."""
_MISSING: Final = {
    MediaKind.VIDEO: "There is no video at this address.",
    MediaKind.AUDIO: "There is no sound at this address.",
    MediaKind.IMAGE: "There is no picture at this address.",
}


def validate_all(found: Found, order: Fetch, *, scratch: Path, moved: Moved) -> list[ValidFile]:
    """Prove every file, each once, and make of it what is to be delivered. Raises FetchError for
    the first that fails. Of what nobody sorted, what is worth showing is taken: neither icons nor
    what is no media.
    """
    limits = order.limits
    different = _different(found.files)
    if found.unsorted:
        different = [file for file in different if _is_worth_showing(file.path)]
    if not different:
        raise FetchError(FailureReason.NOTHING_FOUND)
    if len(different) > limits.max_files:
        raise FetchError(
            FailureReason.TOO_LARGE, f"There are more than the {limits.max_files} files allowed."
        )
    validator = _Validator(found, order, scratch, moved)
    made = [each for file in different for each in validator.prove(file)]
    if order.media.subtitles and not validator.spoken:
        raise languages.not_offered(validator.languages | {*found.languages})
    if len(made) > limits.max_files:
        raise FetchError(
            FailureReason.TOO_LARGE,
            f"With originals and subtitles these are more than the {limits.max_files}"
            " files allowed.",
        )
    numbers = list(itertools.accumulate(0 if each.beside else 1 for each in made))
    valid_files = [
        _described(each, order, title=found.source.title, number=number, count=numbers[-1])
        for each, number in zip(made, numbers, strict=True)
    ]
    if sum(file.bytes for file in valid_files) > limits.max_bytes:
        raise too_large(limits)
    return valid_files


def _is_worth_showing(path: Path) -> bool:
    try:
        seen = inspect(path)
    except (FetchError, OSError):
        return False
    return not seen.kind.image or (seen.quality or 0) >= LEAST_SIDE


def _different(files: Iterable[Fetched]) -> list[Fetched]:
    """Without those whose bytes are another's: a page may show one video twice."""
    found: list[Fetched] = []
    for file in files:
        if not any(_same(file.path, other.path) for other in found):
            found.append(file)
    return found


def _same(one: Path, other: Path) -> bool:
    if one == other:
        return True
    try:
        return one.stat().st_size == other.stat().st_size and filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A proved file as it is to be stored."""

    path: Path
    seen: Inspected
    verified: Verified
    called: str | None
    caption: str | None = None
    beside: bool = False
    """It belongs to the one before: subtitles, or a picture of it."""
    text: subtitle_tracks.Written | None = None
    """Where these are subtitles; all else is of the video that they belong to."""


class _Validator:
    """Proves the files of one job, each by itself, and makes of them what was asked for."""

    def __init__(self, found: Found, order: Fetch, scratch: Path, moved: Moved) -> None:
        self._media = order.media
        self._scratch = scratch
        self._labels = labels.Labels(
            tags=labels.tags(found.source, found.about, order.url),
            # of several files nobody knows whose they are
            chapters=tuple(found.about.chapters) if len(found.files) == 1 else (),
        )
        self._converter = Converter(order, moved, self._labels)
        self.spoken = False
        """Whether there are subtitles of at least one file."""
        self.languages: set[str] = set()
        """Of the subtitles inside of the files."""

    def prove(self, file: Fetched) -> list[_Made]:
        """What becomes of one file: with its original, its subtitles and its picture where those
        are wanted. Raises FetchError.
        """
        media = self._media
        path = _closed(file.path, self._scratch)
        seen = inspect(path, measured=file.measured)
        _lasts_as_announced(file, seen)
        verified = _verified(file, seen)
        cover = functools.cache(functools.partial(thumbnails.cover, file, path, seen, media))
        thumbnail = thumbnails.thumbnail(file, path, seen, media)
        if media.kind is MediaKind.AUDIO and seen.inside.audio and _needs_converting(seen, media):
            path, seen = self._only_sound(path, seen, cover)
            _lasts_as_announced(file, seen)
        _fits_the_wish(seen, media)
        spoken = subtitle_tracks.wanted(file, path, seen, media)
        self.spoken = self.spoken or bool(spoken)
        self.languages |= subtitle_tracks.inside(seen)
        original = _Made(
            path=path, seen=seen, verified=verified, called=file.called, caption=file.caption
        )
        beside = self._beside(original, spoken, thumbnail)
        if media.keep_original:
            kept = path.with_name(f"{path.stem}-original{path.suffix}")
            os.link(path, kept)
            original = replace(original, path=kept)
        drawn = spoken[0] if spoken and _draws(seen, media) else None
        made, now = self._converter.playable(path, seen, spoken=drawn, cover=cover)
        if made == path:
            if media.keep_original:
                original.path.unlink()
            return [replace(original, path=path), *beside]
        played = replace(original, path=_closed(made, self._scratch), seen=now)
        return [played, *([original] if media.keep_original else []), *beside]

    def _only_sound(self, path: Path, seen: Inspected, cover: Cover) -> tuple[Path, Inspected]:
        said = self._labels.of(seen)
        made = sound.extract(path, seen, self._media.audio_format, labels=said, cover=cover())
        path = _closed(made, self._scratch)
        return path, inspect(path, measured=True)  # our own program wrote it to its end

    def _beside(
        self, of: _Made, spoken: list[subtitle_tracks.Spoken], thumbnail: Path | None
    ) -> list[_Made]:
        """What is stored beside a file."""
        like = replace(of, beside=True, caption=None)
        written = [] if _draws(of.seen, self._media) else subtitle_tracks.write(spoken, self._media)
        found = [
            replace(like, path=_closed(each.path, self._scratch), text=each) for each in written
        ]
        if thumbnail is not None:
            picture = _closed(thumbnail, self._scratch)
            found.append(replace(like, path=picture, seen=inspect(picture, measured=True)))
        return found


def _draws(seen: Inspected, media: Media) -> bool:
    """Whether subtitles go into its pictures."""
    return media.subtitle_mode is SubtitleMode.BURNED and seen.inside.video


def _described(
    each: _Made, order: Fetch, *, title: str | None, number: int, count: int
) -> ValidFile:
    now = each.path.stat()
    return ValidFile(
        path=each.path.name,
        inode=now.st_ino,
        changed_ns=now.st_ctime_ns,
        name=filenames.file_name(
            called=title or each.called,
            url=order.url,
            extension=_extension(each),
            number=number,
            count=count,
        ),
        bytes=now.st_size,
        verified=each.verified,
        caption=each.caption,
        **_shape(each),
    )


def _extension(each: _Made) -> str:
    if each.text is not None:
        return f"{each.text.language}.{each.text.format}"
    opus = each.path.suffix == ".opus" and each.seen.kind is OGG
    return "opus" if opus else each.seen.kind.extension


def _shape(each: _Made) -> dict[str, Any]:
    """What kind of file it is, how large it looks and how long it lasts."""
    if each.text is not None:
        return {"type": each.text.format.type, "language": each.text.language}
    inside = each.seen.inside
    return {
        "type": each.seen.kind.type,
        "width": inside.width,
        "height": inside.height,
        "seconds": round(inside.seconds, 3) if inside.seconds is not None else None,
    }


def _closed(path: Path, scratch: Path) -> Path:
    """A plain file of the job's own folder, that nobody is to write any more."""
    try:
        with opened(scratch, path.name) as descriptor:
            os.fchmod(descriptor, 0o440)
    except NotPlain:
        raise FetchError(FailureReason.SITE_ERROR, "The site sent an empty file.") from None
    return scratch / path.name


def _verified(file: Fetched, seen: Inspected) -> Verified:
    """How it is known that nothing is missing."""
    if file.measured:
        return Verified.LENGTH
    if seen.ending is Ending.WHOLE and not (file.assembled or file.repaired):
        return Verified.STRUCTURE
    return Verified.UNKNOWN


def _lasts_as_announced(file: Fetched, seen: Inspected) -> None:
    """What a page says of a length may be of something else: it counts where nothing else shows the
    end.
    """
    shown = file.measured or (seen.ending is Ending.WHOLE and not file.repaired)
    if not file.seconds or (shown and not file.assembled):
        return
    inside = seen.inside
    allowed = max(_TOLERANCE_SECONDS, file.seconds * _TOLERANCE_SHARE)
    # sound often ends before the picture does; less than half of it may be a part of its file
    half = inside.shortest is not None and inside.shortest < file.seconds / 2
    short = half and not file.measured
    if short or (inside.seconds is not None and abs(inside.seconds - file.seconds) > allowed):
        raise FetchError(FailureReason.SITE_ERROR, "The file is not as long as the site announced.")


def _needs_converting(seen: Inspected, media: Media) -> bool:
    if seen.inside.video or seen.kind.image:
        return True
    own = {
        "mp3": AudioFormat.MP3,
        "m4a": AudioFormat.M4A,
        "flac": AudioFormat.FLAC,
        "wav": AudioFormat.WAV,
    }.get(seen.kind.extension)
    if seen.kind.extension == "ogg" and "opus" in (seen.inside.audio_codec or ""):
        own = AudioFormat.OPUS
    if seen.kind.demuxer == "matroska":
        return True  # sound in WebM or Matroska is played by few; its own stream is kept
    return media.audio_format is not None and media.audio_format is not own


def _fits_the_wish(seen: Inspected, media: Media) -> None:
    inside = seen.inside
    found = {
        MediaKind.AUTO: True,
        MediaKind.VIDEO: inside.video,
        MediaKind.AUDIO: inside.audio and not inside.video,
        MediaKind.IMAGE: seen.kind.image,
    }
    if not found[media.kind]:
        raise FetchError(FailureReason.NOTHING_FOUND, _MISSING[media.kind])
    if inside.video and media.max_height and (seen.quality or 0) > media.max_height:
        raise FetchError(
            FailureReason.NOT_SUPPORTED,
            f"The smallest version offered is {seen.quality}p,"
            f" more than the {media.max_height}p asked for.",
            offered_height=seen.quality,
        )
