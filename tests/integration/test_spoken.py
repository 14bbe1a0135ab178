"""Subtitles from the site and from inside of a film: as files, drawn, in a part, and when there are
none.
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import av
import pytest

from fetching import order, proved
from rawsite import Asked, Said, answer, rawsite
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import Media
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.base import Fetched, Found
from trawler_worker.fetcher.engines.ytdlp import YtDlp
from trawler_worker.fetcher.engines.ytdlp_subtitles import chooser
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.protocol import ValidFile

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def ytdlp() -> YtDlp:
    return YtDlp()


def by_language(files: list[ValidFile]) -> dict[str | None, ValidFile]:
    return {file.language: file for file in files}


def test_a_page_gives_its_languages_beside_the_video(
    ytdlp: YtDlp, site: Any, tmp_path: Path
) -> None:
    url = site.url("/page/spoken?subtitles=en,de,fr")
    media = {"subtitles": ["de", "fr-CA", "ja"], "deliverAs": "Playable"}
    files = proved(ytdlp, url, tmp_path, media=media)
    assert ["Clip spoken.mp4", "Clip spoken.de.srt", "Clip spoken.fr.srt"] == [
        f.name for f in files
    ]
    assert [None, "de", "fr"] == [file.language for file in files]
    assert {"application/x-subrip"} == {file.type for file in files[1:]}
    text = (tmp_path / files[1].path).read_text()
    assert "00:00:00,000 --> 00:00:00,800\nEins & einzig" in text
    assert "Kind:" not in text


def test_as_original_they_stay_as_the_site_wrote_them(
    ytdlp: YtDlp, site: Any, tmp_path: Path
) -> None:
    url = site.url("/page/spoken?subtitles=en,de,fr")
    files = proved(ytdlp, url, tmp_path, media={"subtitles": ["de", "fr"]})
    assert ["text/vtt", "text/x-ssa"] == [file.type for file in files[1:]]
    assert (tmp_path / files[1].path).read_text().startswith("WEBVTT")
    assert ["de.vtt", "fr.ass"] == [file.name.partition(".")[2] for file in files[1:]]


def test_a_language_that_is_not_there_is_told_with_those_that_are(
    ytdlp: YtDlp, site: Any, tmp_path: Path
) -> None:
    with pytest.raises(FetchError) as refusal:
        proved(ytdlp, site.url("/page/none?subtitles=en,de"), tmp_path, media={"subtitles": ["ja"]})
    fault = refusal.value.fault()
    assert FailureReason.NOTHING_FOUND is fault.reason
    assert ["de", "en"] == fault.offered_subtitles
    assert "There are subtitles only in: de, en." == fault.message
    asked = site.site.journal.wire("/video/none.mp4")
    assert not any(entry["sent"] for entry in asked)  # found out before the video was fetched


def test_where_there_are_none_at_all_it_says_so(ytdlp: YtDlp, site: Any, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as refusal:
        proved(ytdlp, site.url("/page/none"), tmp_path, media={"subtitles": ["en"]})
    assert "There are no subtitles." == refusal.value.message
    assert refusal.value.offered_subtitles is None


def made(studio: Studio, name: str, scratch: Path, **media: Any) -> list[ValidFile]:
    path = scratch / "job-1"
    path.write_bytes(studio.clip(name))
    wish = order(f"http://site.example/{name}", media=media)
    found = Found(files=[Fetched(path=path, measured=True)])
    return validate_all(found, wish, scratch=scratch, moved=lambda *_: None)


@pytest.mark.parametrize("name", ["subtitled.mkv", "subtitled.mp4"])
def test_those_inside_of_a_film_are_taken_out(studio: Studio, tmp_path: Path, name: str) -> None:
    files = by_language(made(studio, name, tmp_path, subtitles=["en"], deliverAs="Playable"))
    text = (tmp_path / files["en"].path).read_text()
    assert "One & only" in text
    assert re.search(r"00:00:01,0\d\d --> 00:00:01,8\d\d", text)
    assert "video/mp4" == files[None].type


def test_both_languages_of_a_film_keep_their_looks_as_original(
    studio: Studio, tmp_path: Path
) -> None:
    files = by_language(made(studio, "subtitled.mkv", tmp_path, subtitles=["fr", "en"]))
    assert ["video/x-matroska", "text/x-ssa", "application/x-subrip"] == [
        files[each].type for each in (None, "fr", "en")
    ]


def yellow(path: Path, second: float) -> int:
    """Pixels of the colour in which the French ones are drawn, at a time."""
    with av.open(str(path)) as inside:
        for frame in inside.decode(video=0):
            if frame.time is not None and frame.time >= second:
                shown: Any = frame
                picture = shown.to_image().convert("RGB").tobytes()
                points = zip(picture[0::3], picture[1::3], picture[2::3], strict=True)
                return sum(red > 200 and green > 200 and blue < 90 for red, green, blue in points)
    raise AssertionError("there is no picture at this time")


BLACK = [
    *("-f", "lavfi", "-i", "color=black:size=320x240:rate=10:duration=4"),
    *("-c:v", "libx264", "-pix_fmt", "yuv420p"),
]


@pytest.fixture(scope="module")
def black(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dark film with French words."""
    folder = tmp_path_factory.mktemp("black [one], 'two'")
    words, film = folder / "fr.ass", folder / "film.mkv"
    words.write_bytes(studio.clip("fr.ass"))
    argv = ["ffmpeg", "-v", "error", *BLACK[:4], "-i", str(words), *BLACK[4:], "-c:s", "ass"]
    subprocess.run([*argv, "-metadata:s:s:0", "language=fre", str(film)], check=True, timeout=60)
    return film


@pytest.mark.parametrize("deliver_as", ["Playable", "Original"])
def test_burnt_in_they_are_seen_when_they_are_said(
    black: Path, tmp_path: Path, deliver_as: str
) -> None:
    scratch = tmp_path / "it's [a] folder, with: signs"
    scratch.mkdir()
    path = scratch / "job-1"
    path.write_bytes(black.read_bytes())
    media = {"subtitles": ["en", "fr"], "subtitleMode": "Burned", "deliverAs": deliver_as}
    found = Found(files=[Fetched(path=path, measured=True)])
    wish = order("http://site.example/a", media=media)
    (file,) = validate_all(found, wish, scratch=scratch, moved=lambda *_: None)
    shown = scratch / file.path
    assert yellow(shown, 0.4) > 100
    assert yellow(shown, 0.9) == 0
    assert yellow(shown, 2.4) > 100


def test_burnt_into_a_part_they_keep_step_with_it(black: Path, tmp_path: Path) -> None:
    path = tmp_path / "job-1"
    path.write_bytes(black.read_bytes())
    media = {
        "subtitles": ["fr"],
        "subtitleMode": "Burned",
        "deliverAs": "Playable",
        "clip": {"startSeconds": 1.8, "endSeconds": 3.0},
    }
    found = Found(files=[Fetched(path=path, measured=True)])
    wish = order("http://site.example/a", media=media)
    (file,) = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    assert yellow(tmp_path / file.path, 0.0) == 0
    assert yellow(tmp_path / file.path, 0.5) > 100


def test_burnt_in_they_fit_too(black: Path, tmp_path: Path) -> None:
    path = tmp_path / "job-1"
    path.write_bytes(black.read_bytes())
    media = {"subtitles": ["fr"], "subtitleMode": "Burned", "deliverAs": "Playable"}
    found = Found(files=[Fetched(path=path, measured=True)])
    fit = path.stat().st_size - 1
    wish = order("http://site.example/a", media=media, limits={"fitBytes": max(fit, 6000)})
    (file,) = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    assert yellow(tmp_path / file.path, 0.4) > 100


def test_burnt_in_they_are_missed_where_there_are_none(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as refusal:
        made(studio, "mp4", tmp_path, subtitles=["en"], subtitleMode="Burned")
    assert "There are no subtitles." == refusal.value.message


@pytest.mark.parametrize("kind", ["", "encrypted/", "ranges/", "map/"])
def test_streams_of_every_shape_arrive_whole(
    ytdlp: YtDlp, site: Any, tmp_path: Path, kind: str
) -> None:
    files = proved(
        ytdlp, site.url(f"/hls/{kind}stream.m3u8"), tmp_path, media={"deliverAs": "Playable"}
    )
    assert "video/mp4" == files[0].type
    seconds = {"": 12, "encrypted/": 12, "ranges/": 4, "map/": 4}[kind]
    assert seconds == pytest.approx(files[0].seconds, abs=0.3)


def test_a_part_in_which_nobody_speaks_comes_without_subtitles(
    studio: Studio, tmp_path: Path
) -> None:
    """There are some of the film: nothing failed."""
    clip = {"startSeconds": 3.0, "endSeconds": 4.0}
    files = made(studio, "subtitled.mkv", tmp_path, subtitles=["en"], clip=clip)
    assert [None] == [file.language for file in files]


def test_one_language_that_cannot_be_had_costs_nothing_of_the_others(
    ytdlp: YtDlp, studio: Studio, tmp_path: Path
) -> None:
    """It is gone, or is a page; the film and the other language come."""

    def say(asked: Asked) -> Said:
        tracks = "".join(
            f"<track kind=subtitles srclang={language} src=/{language}.{ending}>"
            for language, ending in (("en", "srt"), ("de", "vtt"), ("fr", "vtt"), ("es", "vtt"))
        )
        if asked.target == "/page":
            page = f"<html><title>Film</title><video src=/a.mp4>{tracks}</video></html>"
            return answer("200 OK", page.encode(), "Content-Type: text/html")
        if asked.target == "/a.mp4":
            return answer("200 OK", studio.clip("mp4"), "Content-Type: video/mp4")
        if asked.target == "/en.srt":
            return answer("200 OK", studio.clip("en.srt"), "Content-Type: text/plain")
        if asked.target == "/de.vtt":
            return answer("404 Not Found")
        if asked.target == "/es.vtt":
            return answer("429 Too Many Requests", b"", "Retry-After: 3600")
        return answer("200 OK", b"<html>Log in</html>", "Content-Type: text/html")

    with rawsite(say) as site:
        wish = {"subtitles": ["de", "en", "fr", "es"], "deliverAs": "Playable"}
        files = proved(ytdlp, site.url("/page"), tmp_path, media=wish)
        assert [None, "en"] == [file.language for file in files]
        with pytest.raises(FetchError) as refusal:
            proved(ytdlp, site.url("/page"), tmp_path, media={"subtitles": ["de", "fr"]})
        assert FailureReason.NOTHING_FOUND is refusal.value.reason


def test_burnt_in_is_the_first_language_that_can_be_had(
    ytdlp: YtDlp, studio: Studio, tmp_path: Path
) -> None:
    def say(asked: Asked) -> Said:
        if asked.target == "/page":
            tracks = (
                "<track kind=subtitles srclang=de src=/de.vtt><track kind=subtitles"
                " srclang=fr src=/fr.ass>"
            )
            page = f"<html><title>Film</title><video src=/a.mp4>{tracks}</video></html>"
            return answer("200 OK", page.encode(), "Content-Type: text/html")
        if asked.target == "/a.mp4":
            return answer("200 OK", studio.clip("mp4"), "Content-Type: video/mp4")
        if asked.target == "/fr.ass":
            return answer("200 OK", studio.clip("fr.ass"), "Content-Type: text/plain")
        return answer("404 Not Found")

    with rawsite(say) as site:
        wish = {"subtitles": ["de", "fr"], "subtitleMode": "Burned", "deliverAs": "Playable"}
        (file,) = proved(ytdlp, site.url("/page"), tmp_path, media=wish)
    assert (tmp_path / file.path).read_bytes() != studio.clip("mp4")


def test_a_track_that_cannot_be_read_costs_only_its_language(
    studio: Studio, tmp_path: Path
) -> None:
    """The English one holds more than any film has."""
    english, french, path = tmp_path / "en.srt", tmp_path / "fr.ass", tmp_path / "job-1"
    cue = "{}\n00:00:0{},{:03} --> 00:00:09,000\n" + "word " * 90 + "\n\n"
    english.write_text("".join(cue.format(n, *divmod(n, 1000)) for n in range(6000)))
    french.write_bytes(studio.clip("fr.ass"))
    film = tmp_path / "film.mp4"
    film.write_bytes(studio.clip("mp4"))
    inputs = [word for each in (film, english, french) for word in ("-i", str(each))]
    words = [
        *["-map", "0", "-map", "1", "-map", "2", "-c", "copy", "-metadata:s:s:0", "language=eng"],
        "-metadata:s:s:1",
    ]
    argv = ["ffmpeg", "-v", "error", *inputs, *words, "language=fre", "-f", "matroska", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    found = Found(files=[Fetched(path=path, measured=True)])
    wish = order("http://site.example/a", media={"subtitles": ["en", "fr"]})
    files = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    assert [None, "fr"] == [file.language for file in files]


def test_those_inside_are_told_where_others_were_asked_for(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as refusal:
        made(studio, "subtitled.mkv", tmp_path, subtitles=["ja"])
    assert ["en", "fr"] == refusal.value.offered_subtitles


def test_what_somebody_wrote_comes_before_what_a_machine_heard() -> None:
    form = [{"ext": "srt", "url": "https://a.example/x"}]
    choose = chooser(Media(subtitles=["en", "de"]))
    found = choose("x", {"en-GB": form, "live_chat": form}, {"en": form, "de_DE": form})
    assert ["en-GB", "de-DE"] == list(found or {})
