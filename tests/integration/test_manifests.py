"""Streams in pieces, put together here: what comes plays, and says how sure it is to be whole."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from fetching import proved
from rawsite import Asked, RawSite, Said, answer, rawsite
from trawler_worker.fetcher.engines.ytdlp import YtDlp
from trawler_worker.fetcher.errors import FetchError

TYPES = {
    "m3u8": "application/vnd.apple.mpegurl",
    "mpd": "application/dash+xml",
    "ts": "video/mp2t",
    "m4s": "video/iso.segment",
    "mp4": "video/mp4",
    "aac": "audio/aac",
}
VIDEO = ("-f", "lavfi", "-i", "testsrc=size={size}:rate=10:duration=6")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:duration=6")


@pytest.fixture(scope="module")
def ytdlp() -> YtDlp:
    return YtDlp()


def ffmpeg(folder: Path, *argv: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *argv], cwd=folder, check=True, timeout=60)


class Folder:
    """A folder as a site; files that are asked for in pieces by Range too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: set[str] = set()
        self.unmeasured: set[str] = set()

    def __call__(self, asked: Asked) -> Said:
        name = asked.target.partition("?")[0].lstrip("/")
        path = self.folder / name
        if name in self.broken or not path.is_file():
            return answer("404 Not Found")
        body, kind = path.read_bytes(), f"Content-Type: {TYPES[name.rpartition('.')[2]]}"
        wanted = asked.headers.get("range")
        if name in self.unmeasured:
            return answer("200 OK", body, kind, length=False)
        if wanted is None:
            return answer("200 OK", body, kind, 'ETag: "1"')
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        end = int(last) + 1 if last else len(body)
        part = f"Content-Range: bytes {first}-{end - 1}/{len(body)}"
        return answer("206 Partial Content", body[int(first) : end], kind, part, 'ETag: "1"')


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[RawSite, Folder]]:
    (tmp_path / "site").mkdir()
    folder = Folder(tmp_path / "site")
    with rawsite(folder) as site:
        yield site, folder


def codecs(path: Path) -> set[str]:
    with av.open(str(path)) as found:
        return {stream.codec_context.name for stream in found.streams if stream.codec_context}


def _size(size: str) -> list[str]:
    return [word.format(size=size) for word in VIDEO]


def _dash(folder: Path) -> None:
    """Y03: VP9 320 x 240, H.264 160 x 120, AAC."""
    ffmpeg(
        folder,
        *(*_size("320x240"), *_size("160x120"), *SOUND),
        *("-map", "0:v", "-map", "1:v", "-map", "2:a"),
        *("-c:v:0", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
        *("-c:v:1", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"),
        *("-g", "20", "-seg_duration", "2", "-dash_segment_type", "mp4"),
        *("-adaptation_sets", "id=0,streams=0 id=1,streams=1 id=2,streams=2"),
        *("-f", "dash", "a.mpd"),
    )


def test_of_a_manifest_that_is_taken_which_plays(
    served: tuple[RawSite, Folder], ytdlp: YtDlp, tmp_path: Path
) -> None:
    """An mp4 beside a Matroska that nobody plays."""
    site, folder = served
    _dash(folder.folder)
    (found,) = proved(ytdlp, site.url("/a.mpd"), tmp_path)
    assert (found.type, found.height) == ("video/mp4", 120)
    assert 5.5 < (found.seconds or 0) < 6.5
    assert found.verified == "Length"


def test_packed_sound_in_segments_is_sound(
    served: tuple[RawSite, Folder], ytdlp: YtDlp, tmp_path: Path
) -> None:
    """M09: AAC with an ID3 tag before each segment."""
    site, folder = served
    ffmpeg(folder.folder, *SOUND, "-c:a", "aac", "-f", "segment", "-segment_time", "2", "s%d.aac")
    tag = b"ID3\x04\0\0\0\0\0\x0aPRIV\0\0\0\0\0\0"[:20]
    names = sorted(path.name for path in folder.folder.glob("s*.aac"))
    for name in names:
        path = folder.folder / name
        path.write_bytes(tag + path.read_bytes())
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:3"]
    for name in names:
        lines += [f"#EXTINF:{6 / len(names):.3f},", name]
    (folder.folder / "a.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    (found,) = proved(ytdlp, site.url("/a.m3u8"), tmp_path)
    assert found.type in {"audio/mp4", "audio/aac"}
    assert 5 < (found.seconds or 0) < 7


def _hls(folder: Path, *more: str) -> list[str]:
    ffmpeg(
        folder,
        *(*_size("160x120"), *SOUND, "-c:v", "libx264", "-preset", "ultrafast", "-g", "20"),
        *("-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "hls", "-hls_time", "2"),
        *("-hls_playlist_type", "vod", *more, "a.m3u8"),
    )
    return sorted(path.name for path in folder.glob("a*.*") if path.suffix in {".ts", ".m4s"})


@pytest.mark.parametrize(
    "more", [[], ["-hls_segment_type", "fmp4"], ["-hls_flags", "single_file"]], ids=str
)
def test_a_stream_in_segments_is_put_together(
    served: tuple[RawSite, Folder], ytdlp: YtDlp, tmp_path: Path, more: list[str]
) -> None:
    """MPEG-TS, fragments of MP4, and pieces of one file."""
    site, folder = served
    _hls(folder.folder, *more)
    (found,) = proved(ytdlp, site.url("/a.m3u8"), tmp_path)
    assert found.type == "video/mp4"
    assert 5.5 < (found.seconds or 0) < 6.5
    assert {"h264", "aac"} == codecs(tmp_path / found.path)


def test_a_stream_with_a_hole_is_no_success(
    served: tuple[RawSite, Folder], ytdlp: YtDlp, tmp_path: Path
) -> None:
    """One segment is missing."""
    site, folder = served
    names = _hls(folder.folder)
    folder.broken.add(names[1])
    with pytest.raises(FetchError) as caught:
        proved(ytdlp, site.url("/a.m3u8"), tmp_path)
    assert caught.value.reason == "SiteError"  # the stream is there, a part of it is not


SOUND_ALONE = """<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
 mediaPresentationDuration="PT6S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">
<Period><AdaptationSet mimeType="audio/mp4">
<Representation id="1" bandwidth="64000" codecs="mp4a.40.2">
<BaseURL>a.mp4</BaseURL></Representation>
</AdaptationSet></Period></MPD>"""


@pytest.mark.parametrize("share", [1, 0.5])
def test_what_yt_dlp_repairs_is_no_witness_of_its_own_end(
    served: tuple[RawSite, Folder], ytdlp: YtDlp, tmp_path: Path, share: float
) -> None:
    """It writes the sound of DASH anew: what came of a cut one then looks whole."""
    site, folder = served
    flags = "frag_keyframe+empty_moov+default_base_moof"
    ffmpeg(
        folder.folder,
        *(*SOUND, "-c:a", "aac", "-movflags", flags, "-frag_duration", "500000", "a.mp4"),
    )
    body = (folder.folder / "a.mp4").read_bytes()
    cut = body if share == 1 else body[: body.rindex(b"moof", 0, int(len(body) * share)) - 4]
    (folder.folder / "a.mp4").write_bytes(cut)
    (folder.folder / "a.mpd").write_text(SOUND_ALONE)
    folder.unmeasured.add("a.mp4")
    (found,) = proved(ytdlp, site.url("/a.mpd"), tmp_path)
    assert found.verified == "Unknown"


def test_what_is_put_together_opens_nothing_that_it_names(
    served: tuple[RawSite, Folder], ytdlp: YtDlp, tmp_path: Path
) -> None:
    """A segment that is a playlist of files here: yt-dlp's own ffmpeg reads real media only."""
    site, folder = served
    secret = tmp_path / "secret.ts"
    ffmpeg(tmp_path, *_size("160x120"), "-c:v", "mpeg2video", str(secret))
    inner = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    (folder.folder / "evil.ts").write_text(inner)
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:6,", "evil.ts", "#EXT-X-ENDLIST", ""]
    (folder.folder / "a.m3u8").write_text("\n".join(lines))
    with pytest.raises(FetchError):
        proved(ytdlp, site.url("/a.m3u8"), tmp_path)
