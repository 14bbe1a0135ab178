"""Converts validated files so that they play and fit the size limit, if the order asks for it."""

import importlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import Clip, DeliverAs, MediaKind
from trawler_crds.messages import Stage
from trawler_worker.fetcher.conversion import film, labelling, sound
from trawler_worker.fetcher.conversion.film import Added, Part, Target
from trawler_worker.fetcher.conversion.labels import NO_LABELS, Labels
from trawler_worker.fetcher.conversion.plans import Plan, Track, Work, is_plain_h264, plan
from trawler_worker.fetcher.conversion.sizes import Size, budget, coding_seconds, worth_watching
from trawler_worker.fetcher.conversion.subtitle_tracks import Spoken
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.media.ffmpeg import Heard
from trawler_worker.fetcher.media.inspection import Inspected, inspect
from trawler_worker.fetcher.media.sniff import GIF, MOVING_PNG, PNG
from trawler_worker.protocol import Fetch

Moved = Callable[[Stage, int, int | None], None]
"""Called with the stage, the milliseconds of the media that are done, and the total."""
Cover = Callable[[], Path | None]
"""Creates a cover picture for an audio file that needs one."""
SHARE: Final = 0.6
"""Share of an attempt's time that encoding may take. Media that would take longer is delivered as
it is, rather than not at all.
"""
TRIES: Final = 3
"""Maximum number of encodes of a video to make it fit. Two misses in a row are rare."""


class Converter:
    """Converts the files of one job."""

    def __init__(self, order: Fetch, moved: Moved, labels: Labels = NO_LABELS) -> None:
        self._known = labels
        self._labels = labels
        self._media = order.media
        self._fit = order.limits.fit_bytes
        self._time = SHARE * order.seconds
        self._moved = moved
        self._told = 0.0
        self._drawn: Path | None = None
        """Subtitles that the next encode burns in."""
        self._cover: Cover = lambda: None

    def playable(
        self,
        path: Path,
        seen: Inspected,
        *,
        spoken: Spoken | None = None,
        cover: Cover = lambda: None,
    ) -> tuple[Path, Inspected]:
        """Convert a file for delivery and replace the original. The given subtitles are burned into
        a video; the given cover is embedded in an audio file. Raises FetchError.
        """
        self._drawn = self._drawable(path, spoken)
        self._cover = cover
        self._labels = self._known
        if self._media.clip is not None and not seen.kind.image:
            path, seen = self._cut(path, seen, self._media.clip)
        if self._media.deliver_as is not DeliverAs.PLAYABLE and self._drawn is None:
            return path, seen
        return self._converted(path, seen)

    def _added(self, seen: Inspected, part: Part | None = None) -> Added:
        return Added(drawn=self._drawn, labels=self._said(seen, part))

    def _said(self, seen: Inspected, part: Part | None = None) -> Labels:
        if part is None:
            return self._labels.of(seen)
        return self._labels.of(seen, start=part.start, seconds=part.end - part.start)

    def _sound(self, path: Path, seen: Inspected, part: Part | None = None) -> Path:
        said, heard = self._said(seen, part), self._heard(seen)
        return sound.extract(
            path, seen, None, part=part, labels=said, cover=self._cover(), heard=heard
        )

    def _drawable(self, path: Path, spoken: Spoken | None) -> Path | None:
        """Write subtitles as an ASS file for burning in."""
        if spoken is None:
            return None
        out = path.with_name(f"{path.stem}-drawn.ass")
        spoken.subtitles.write_ass(out)
        return out

    def _converted(self, path: Path, seen: Inspected) -> tuple[Path, Inspected]:
        if seen.kind.image and not _pictures().is_small_enough(path):
            return path, seen
        wanted = plan(seen)
        if self._must_shrink(path, seen):
            found = self._shrunk(path, seen)
            if found is not None:
                return found
        if self._drawn is not None:
            if not self._has_time(seen, passes=1):
                said = "Drawing subtitles into a film of this length takes longer than allowed."
                raise FetchError(FailureReason.TOO_LONG, said)
            sounds = wanted.audio
            if seen.inside.audio and sounds is Track.NONE:
                sounds = Track.COPY
            wanted = Plan(work=Work.FILM, video=Track.ENCODE, audio=sounds)
        match wanted.work:
            case Work.FILM if wanted.video is Track.COPY or self._has_time(seen, passes=1):
                return self._played(path, seen, wanted)
            case Work.SOUND:
                return self._made(self._sound(path, seen), path)
            case Work.PICTURE:
                return self._picture(path, seen)
            case Work.FILM | Work.KEEP:
                return self._named(path, seen)

    def _named(self, path: Path, seen: Inspected) -> tuple[Path, Inspected]:
        """Embed the site's chapters in a file that already plays as it is. The file stays unchanged
        if its format does not support chapters, or if it would no longer fit the size limit.
        """
        unknown = self._labels.chapters and not seen.inside.chapters
        said = self._said(seen)
        if not (unknown and said.chapters and labelling.takes(seen)) or self._media.keep_original:
            return path, seen
        out = _beside(path, seen.kind.extension)
        try:
            labelling.label(path, seen, said, out)
            made = inspect(out, measured=True)
        except FetchError:
            out.unlink(missing_ok=True)
            return path, seen
        if self._fit is not None and path.stat().st_size <= self._fit < out.stat().st_size:
            out.unlink()
            return path, seen
        path.unlink()
        return out, made

    def _cut(self, path: Path, seen: Inspected, clip: Clip) -> tuple[Path, Inspected]:
        """Cut out a section. A section that starts at zero is not re-encoded. Any other is: a cut
        between two keyframes keeps what precedes it, or breaks the file (observed).
        """
        seconds = seen.inside.seconds or clip.end_seconds
        if clip.start_seconds >= seconds:
            raise FetchError(
                FailureReason.NOTHING_FOUND,
                f"This lasts {seconds:.0f} seconds; the part that was asked for begins"
                " behind that.",
            )
        part = Part(clip.start_seconds, min(clip.end_seconds, seconds))
        told = replace(seen, inside=replace(seen.inside, seconds=part.end - part.start))
        if not seen.inside.video:
            out = self._sound(path, told, part)
            self._labels = replace(
                self._labels, chapters=()
            )  # files created from the section already carry its chapters
            return self._made(out, path)
        copied = part.start == 0 and is_plain_h264(seen) and self._drawn is None
        track = Track.COPY if copied else Track.ENCODE
        audio = Track.ENCODE if seen.inside.audio else Track.NONE
        wanted = Plan(work=Work.FILM, video=track, audio=audio)
        out = path.with_name(f"{path.stem}-part.mp4")
        film.convert(
            path,
            seen,
            wanted,
            out,
            part=part,
            added=self._added(seen, part),
            heard=self._heard(told),
        )
        self._drawn = None
        self._labels = replace(self._labels, chapters=())
        made, shown = self._made(out, path)
        if not shown.inside.video:
            raise FetchError(FailureReason.NOTHING_FOUND, "There is no picture in this part.")
        return made, shown

    def _played(self, path: Path, seen: Inspected, wanted: Plan) -> tuple[Path, Inspected]:
        """Convert to a video that plays everywhere. If the result is too large, encode it at a
        lower bit rate.
        """
        out = _beside(path, "mp4")
        try:
            film.convert(path, seen, wanted, out, added=self._added(seen), heard=self._heard(seen))
        except FetchError as error:
            if error.reason is not FailureReason.TOO_LARGE or self._fit is None:
                raise
            fitting = self._squeezed(path, seen)
            if fitting is None:
                raise
            return fitting
        if self._fit is not None and out.stat().st_size > self._fit:
            kept = out.rename(out.with_name(f"{out.stem}-large.mp4"))
            fitting = self._squeezed(
                path, seen, seconds=inspect(kept, measured=True).inside.seconds
            )
            if fitting is not None:
                kept.unlink()
                return fitting
            out = kept
        return self._made(out, path)

    def _has_time(self, seen: Inspected, *, passes: int, to: Size | None = None) -> bool:
        """Whether the video can be encoded before the attempt ends."""
        inside = seen.inside
        source = Size(inside.coded_width or 2, inside.coded_height or 2)
        needed = coding_seconds(
            source,
            to or film.size_of(seen),
            rate=min(inside.rate or 30.0, film.MOST_RATE),
            seconds=inside.seconds or 0.0,
            passes=passes,
        )
        return needed <= self._time

    def _must_shrink(self, path: Path, seen: Inspected) -> bool:
        """Whether the file is too large as it is. Re-encoded files are checked afterwards."""
        if self._fit is None or self._media.kind is MediaKind.AUDIO:
            return False
        return path.stat().st_size > self._fit and (seen.inside.video or seen.kind.image)

    def _shrunk(self, path: Path, seen: Inspected) -> tuple[Path, Inspected] | None:
        """A version of the file that fits, or None if its quality would be too poor."""
        assert self._fit is not None
        if seen.inside.video:
            return self._squeezed(path, seen)
        if _pictures().frames(path) > 1:
            return self._moving(path, seen)
        out = _beside(path, "webp")
        if not _pictures().to_webp(path, out, limit=self._fit):
            out.unlink(missing_ok=True)
            return None
        return self._made(out, path)

    def _squeezed(
        self, path: Path, seen: Inspected, *, seconds: float | None = None
    ) -> tuple[Path, Inspected] | None:
        assert self._fit is not None
        seconds = seen.inside.seconds or seconds
        if not seconds:
            return None
        rate = min(seen.inside.rate or 30.0, film.MOST_RATE)
        limit = self._fit
        track = Track.ENCODE if seen.inside.audio else Track.NONE
        out = _beside(path, "mp4")
        again = False
        size = film.size_of(seen)
        for _ in range(TRIES):
            bits = budget(limit, seconds, sound=seen.inside.audio)
            fitting = worth_watching(size, rate, bits.video)
            if fitting is None or not self._has_time(seen, passes=2, to=fitting):
                return None
            again = again and fitting == size
            size = fitting
            target = Target(size=size, video_rate=bits.video, sound_rate=bits.sound)
            heard = self._heard(seen, passes=2)
            film.squeeze(
                path,
                seen,
                target,
                out,
                audio=track,
                seconds=seconds,
                again=again,
                added=self._added(seen),
                heard=heard,
            )
            made = out.stat().st_size
            if made <= self._fit:
                for log in path.parent.glob(f"{out.stem}-pass*"):
                    log.unlink()
                return self._made(out, path)
            limit, again = int(limit * self._fit / made * 0.97), True
        out.unlink()
        return None

    def _moving(self, path: Path, seen: Inspected) -> tuple[Path, Inspected] | None:
        """Convert an animated image to a video, which takes a tenth of the bytes."""
        made = self._film_of(path, seen)
        if made[0].stat().st_size > (self._fit or 0):
            return self._squeezed(*made) or made
        return made

    def _picture(self, path: Path, seen: Inspected) -> tuple[Path, Inspected]:
        if _pictures().frames(path) > 1:
            return self._film_of(path, seen)
        out = _beside(path, "webp")
        _pictures().to_webp(path, out, limit=self._fit)
        return self._made(out, path)

    def _film_of(self, path: Path, seen: Inspected) -> tuple[Path, Inspected]:
        """Convert an animated image to a video. Animated WebP and AVIF go through animated PNG
        first: ffmpeg reads neither well.
        """
        if seen.kind is PNG:
            seen = replace(seen, kind=MOVING_PNG)
        elif seen.kind is not GIF:
            through = _beside(path, "png")
            _pictures().to_moving_png(path, through)
            path, seen = self._made(through, path)
            seen = replace(seen, kind=MOVING_PNG)
        out = _beside(path, "mp4")
        wanted = Plan(work=Work.FILM, video=Track.ENCODE)
        film.convert(path, seen, wanted, out, heard=self._heard(seen))
        return self._made(out, path)

    def _made(self, out: Path, of: Path) -> tuple[Path, Inspected]:
        """Delete the source and inspect the new file like any download."""
        of.unlink(missing_ok=True)
        return out, inspect(out, measured=True)

    def _heard(self, seen: Inspected, *, passes: int = 1) -> Heard:
        total = round((seen.inside.seconds or 0) * 1000) * passes
        self._moved(Stage.CONVERTING, 0, total or None)

        def heard(seconds: float) -> None:
            now = time.monotonic()
            if now - self._told >= 0.25:
                self._told = now
                done = round(seconds * 1000)
                self._moved(Stage.CONVERTING, min(done, total) if total else done, total or None)

        return heard


def _pictures() -> ModuleType:
    """Imported on demand: otherwise every fork would carry the module, and few jobs convert
    pictures.
    """
    return importlib.import_module("trawler_worker.fetcher.conversion.pictures")


def _beside(path: Path, extension: str) -> Path:
    """The path of a file created from another."""
    return path.with_name(f"{path.stem}-made.{extension}")
