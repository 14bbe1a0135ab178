"""Subtitles in every way that sites write them, broken ones too."""

from pathlib import Path

import pytest

from trawler_crds.failures import FailureReason
from trawler_sandbox import spoken
from trawler_worker.fetcher.conversion import subtitles
from trawler_worker.fetcher.conversion.film import Part
from trawler_worker.fetcher.errors import FetchError

OLD_TTML = """<?xml version="1.0" encoding="utf-8"?>
<tt xmlns="http://www.w3.org/2006/10/ttaf1"><body><div>
<p begin="00:00:00.000" end="00:00:00.800">One &amp; only</p>
<p begin="00:00:01.000" end="00:00:01.800">Two</p>
<p begin="00:00:02.000" end="00:00:02.800">Three</p>
</div></body></tt>"""
TTML = """<?xml version="1.0" encoding="utf-8"?>
<tt xmlns="http://www.w3.org/ns/ttml"><body><div>
<p begin="00:00:00.000" end="00:00:00.800">One &amp; only</p>
<p begin="00:00:01.000" end="00:00:01.800">Two</p>
<p begin="00:00:02.000" end="00:00:02.800">Three</p>
</div></body></tt>"""
ROLLING = """WEBVTT

00:00.000 --> 00:00.800
One<00:00:00.300><c> &amp;</c><c.yellow.bold> only</c>

NOTE a word
of nobody

second-one
00:01.000 --> 00:01.800 position:50%
<lang fr>Two</lang>

REGION
id:fred

00:02.000 --> 00:02.800
Three
"""


def said(path: Path) -> list[tuple[float, float, str]]:
    """Of an SRT, read by nobody's library."""
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    found = []
    for block in blocks:
        _, times, *words = block.split("\n")
        start, _, end = times.partition(" --> ")
        found.append((_seconds(start), _seconds(end), "\n".join(words)))
    return found


def _seconds(text: str) -> float:
    hours, minutes, seconds = text.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


WHOLE = [(0.0, 0.8, "One & only"), (1.0, 1.8, "Two"), (2.0, 2.8, "Three")]


@pytest.mark.parametrize(
    "text",
    [
        *[spoken.subtitles("en", ending) for ending in spoken.TYPES],
        "\ufeff" + spoken.subtitles("en", "srt"),
        TTML,
        OLD_TTML,
        ROLLING,
    ],
    ids=["srt", "vtt", "ass", "bom", "ttml", "old ttml", "rolling"],
)
def test_the_words_and_their_times_are_kept(tmp_path: Path, text: str) -> None:
    source, out = tmp_path / "came", tmp_path / "made.srt"
    source.write_bytes(text.encode())
    assert subtitles.read(source).write_srt(out)
    plain = [(a, b, words.replace("<i>", "").replace("</i>", "")) for a, b, words in said(out)]
    assert plain == WHOLE


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_old_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    source, out = tmp_path / "came", tmp_path / "made.srt"
    source.write_bytes("1\n00:00:01,000 --> 00:00:02,000\nÄußerst schön\n".encode(encoding))
    subtitles.read(source).write_srt(out)
    assert [(1.0, 2.0, "Äußerst schön")] == said(out)


def test_a_part_begins_at_its_own_beginning(tmp_path: Path) -> None:
    source, out = tmp_path / "came", tmp_path / "made.srt"
    source.write_text(spoken.subtitles("de", "vtt"))
    read = subtitles.read(source)
    read.cut(Part(0.5, 1.5))
    read.write_srt(out)
    assert [(0.0, 0.3, "Eins & einzig"), (0.5, 1.0, "Zwei")] == said(out)


def test_a_part_in_which_nothing_is_said_has_none(tmp_path: Path) -> None:
    source, out = tmp_path / "came", tmp_path / "made.srt"
    source.write_text(spoken.subtitles("de", "vtt"))
    read = subtitles.read(source)
    read.cut(Part(60.0, 70.0))
    assert not read.write_srt(out)


@pytest.mark.parametrize("text", ["WEBVTT\n\n", "WEBVTT\n\nNOTE of nobody\n", "[Script Info]\n"])
def test_where_nothing_is_said_nothing_is_broken(tmp_path: Path, text: str) -> None:
    source = tmp_path / "came"
    source.write_text(text)
    assert [] == subtitles.read(source).lines


def test_braces_and_backslashes_are_words_where_they_command_nothing(tmp_path: Path) -> None:
    source, out, drawn = tmp_path / "came", tmp_path / "made.srt", tmp_path / "made.ass"
    source.write_text("1\n00:00:01,000 --> 00:00:02,000\n{laughs} C:\\Nothing {\\p1}m 0 0\n")
    read = subtitles.read(source)
    read.write_srt(out)
    assert [(1.0, 2.0, "{laughs} C:\\Nothing {\\p1}m 0 0")] == said(out)
    read.write_ass(drawn)
    assert "\\{laughs\\}" in drawn.read_text()
    assert "{\\p1}" not in drawn.read_text()


def test_lines_without_an_empty_one_between_are_told_apart(tmp_path: Path) -> None:
    source, out = tmp_path / "came", tmp_path / "made.srt"
    source.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\nOne\n2\n0:00:03.5 --> 00:00:04,000 X1:2\n- 7\n7\n\n3"
    )
    subtitles.read(source).write_srt(out)
    assert [(1.0, 2.0, "One"), (3.5, 4.0, "- 7\n7")] == said(out)


HOSTILE = {
    "srt braces": "1\n00:00:01,000 --> 00:00:02,000\n{}\n".format("{" * 1_500_000),
    "srt tags": "1\n00:00:01,000 --> 00:00:02,000\n{}\n".format("<i " * 500_000),
    "vtt tags": "WEBVTT\n\n00:01.000 --> 00:02.000\n{}\n".format("<v " * 500_000),
    "arrows": "1\n00:00:01,000 --> 00:00:02,000\nx\n" + "-->" * 500_000,
    "times": "1\n00:00:01,000 --> 00:00:02,000 " + " " * 1_500_000 + "x\nx\n",
    "ass braces": spoken.subtitles("en", "ass")
    + "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{}\n".format("{" * 1_500_000),
    "ass blocks": spoken.subtitles("en", "ass")
    + "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{}\n".format("{\\i1" * 300_000),
    "ass empty blocks": spoken.subtitles("en", "ass")
    + "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{}\n".format("{}" * 500_000),
    "many ass braces": spoken.subtitles("en", "ass")
    + "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{}\n".format("{" * 1_900) * 1000,
    "many cues": "1\n00:00:01,000 --> 00:00:02,000\n<i <i <i <i <i <i <i <i <i <i <i <i\n\n"
    * 25_000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_keeps_a_reader_busy(tmp_path: Path, name: str) -> None:
    """Patterns take the square of a line's length, or worse: no line is long."""
    source = tmp_path / "came"
    source.write_text(HOSTILE[name])
    try:
        read = subtitles.read(source)
    except FetchError:
        return
    read.write_srt(tmp_path / "made.srt")
    read.write_ass(tmp_path / "made.ass")


def test_what_is_drawn_does_not_move_blur_or_paint(tmp_path: Path) -> None:
    source, out = tmp_path / "came", tmp_path / "made.ass"
    line = "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,Banner;1,{}\n"
    hostile = [
        "{\\t(\\blur99\\frz360\\fscx900)\\p1}m 0 0 l 9999 9999",
        "{\\blur99\\fs999\\i1\\an8\\pos(10,20)\\c&H00FF00&\\clip(0,0,9,9)}Words",
        *["all at once"] * 100,
    ]
    source.write_text(
        spoken.subtitles("fr", "ass") + "".join(line.format(each) for each in hostile)
    )
    subtitles.read(source).write_ass(out)
    written = out.read_text()
    assert "{\\i1\\an8\\pos(10,20)\\c&H00FF00&}Words" in written
    for word in ("blur", "frz", "fscx", "\\p1", "clip", "fs999", "Banner", "9999"):
        assert word not in written
    assert written.count("all at once") < subtitles.AT_ONCE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><body>Not found --></body></html>",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<tt xmlns='http://www.w3.org/ns/ttml'><body>",
        b"\x00\x01\x02 --> \xff" * 50,
        b"1\n00:00:01,000 --> 00:00:02,000\nx\n" * 300_000,
        b"1\n99999999999:00:01,000 --> 9:00\nx\n",
        b"x\n" * 100,
    ],
)
def test_what_are_no_subtitles_is_refused(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "came"
    source.write_bytes(data)
    with pytest.raises(FetchError) as refusal:
        subtitles.read(source)
    assert FailureReason.SITE_ERROR is refusal.value.reason


def test_a_bomb_of_entities_ends_soon(tmp_path: Path) -> None:
    names = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    source = tmp_path / "came"
    head = f'<?xml version="1.0"?><!DOCTYPE tt [<!ENTITY e0 "boom">{names}]>'
    source.write_text(f"{head}<tt xmlns='http://www.w3.org/ns/ttml'><body>&e11;</body></tt>")
    with pytest.raises(FetchError):
        subtitles.read(source)


def test_what_is_drawn_carries_no_fonts_and_pictures_of_its_own(tmp_path: Path) -> None:
    source, out = tmp_path / "came", tmp_path / "made.ass"
    hidden = (
        "\n[Fonts]\nfontname: evil.ttf\n0123456789\n\n[Graphics]\nfilename: evil.bmp\n0123456789\n"
    )
    source.write_text(spoken.subtitles("fr", "ass") + hidden)
    subtitles.read(source).write_ass(out)
    written = out.read_text()
    assert "Un & unique" in written
    assert "evil" not in written
    assert written.startswith("[Script Info]")
