"""What files say of their own end, on samples of every container: cut anywhere, and with something
behind.
"""

import random
import struct
import time
from pathlib import Path

import pytest

from trawler_sandbox.media import KINDS, TYPES, Studio
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.media.containers.boxes import boxes
from trawler_worker.fetcher.media.containers.ending import ending_of
from trawler_worker.fetcher.media.containers.reading import Bytes, Ending
from trawler_worker.fetcher.media.inspection import inspect
from trawler_worker.fetcher.media.sniff import HEAD, MP3, MPEG_TS, sniff, sniff_file

SILENT = frozenset(["plain.mp3", "aac", "ts"])
"""They say nothing of their end: documented in docs/architecture.md."""
STREAMED = frozenset(["live.mkv"])
"""Sent as it was made: it shows a part that is cut, and not that further parts are missing. An FLV
knows its length to a second.
"""
CUTS = 20
BEHIND = (1, 2, 7, 8, 15, 100, 1000, 4096)


def ending(body: bytes, folder: Path) -> Ending | None:
    """None where it is nothing that we know."""
    path = folder / "file"
    path.write_bytes(body)
    with path.open("rb") as file:
        kind = sniff_file(file, len(body))
    return None if kind is None else ending_of(path, kind)


def heic(studio: Studio) -> bytes:
    """A picture as a phone writes it; only its brand counts here, not how it is coded."""
    return studio.clip("avif").replace(b"avif", b"heic", 2)


@pytest.mark.parametrize("name", KINDS)
def test_generated_media_is_what_it_says(studio: Studio, name: str) -> None:
    """By its first bytes; what is in it may say more (`inspection`)."""
    found = sniff(studio.clip(name)[:HEAD])
    assert found is not None
    wanted = TYPES[name.rpartition(".")[2]].partition("/")
    kind = found.type.partition("/")
    assert (kind[0] == "image") == (wanted[0] == "image")
    assert kind[2] in {wanted[2], "mp4"}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_cut_anywhere_is_known_to_be_cut(studio: Studio, name: str, tmp_path: Path) -> None:
    """Without a length that anybody announced: by the file alone."""
    body = studio.clip(name)
    whole = ending(body, tmp_path)
    assert whole is (Ending.UNKNOWN if name in SILENT | STREAMED else Ending.WHOLE)
    chance = random.Random(name)
    for _ in range(CUTS):
        at = chance.randrange(len(body) // 50, len(body))
        found = ending(body[:at], tmp_path)
        allowed = {None, Ending.CUT}
        if name in {*SILENT, *STREAMED, "segments.mp4"} or (name == "flv" and at > len(body) * 0.7):
            allowed = {None, Ending.CUT, Ending.UNKNOWN}
        assert found in allowed, f"cut at {at} of {len(body)}"


def test_an_index_before_each_fragment_says_nothing_of_the_last(
    studio: Studio, tmp_path: Path
) -> None:
    """Cut between two of them it was called whole."""
    body = studio.clip("segments.mp4")
    with (tmp_path / "all").open("w+b") as file:
        file.write(body)
        file.flush()
        found = [box for box in boxes(Bytes(file, len(body)), 0, len(body)) if box.name == b"mdat"]
    assert len(found) > 2
    for box in found[:-1]:
        assert ending(body[: box.end], tmp_path) is Ending.UNKNOWN


@pytest.mark.parametrize(
    ("begin", "held", "found"),
    [
        (0, 60, Ending.WHOLE),
        (0, 30, Ending.CUT),
        (1000, 60, Ending.WHOLE),
        (1000, 30, Ending.CUT),
        (10, 45, Ending.CUT),
        (10, 50, Ending.UNKNOWN),
        (5, 20, Ending.CUT),
    ],
)
def test_fragments_are_held_against_the_length(
    tmp_path: Path, begin: int, held: int, found: Ending
) -> None:
    """Sixty seconds, on a clock that begins anywhere: what is late is not what is long."""
    track = _box(
        b"trak",
        _box(b"tkhd", bytes(12) + struct.pack(">I", 1) + bytes(68)),
        _box(b"mdia", _box(b"mdhd", bytes(12) + struct.pack(">I", 1) + bytes(8))),
    )
    header = _box(b"mvhd", bytes(12) + struct.pack(">I", 1) + bytes(84))
    extends = _box(b"mvex", _box(b"mehd", bytes(4) + struct.pack(">I", 60)))
    run = _box(b"trun", struct.pack(">III", 0x100, 1, held))
    fragment = _box(
        b"traf",
        _box(b"tfhd", struct.pack(">II", 0, 1)),
        _box(b"tfdt", struct.pack(">II", 0, begin)),
        run,
    )
    body = _box(b"ftyp", b"isom\0\0\0\0isom") + _box(b"moov", header, track, extends)
    assert found is ending(body + _box(b"moof", fragment) + _box(b"mdat", bytes(9)), tmp_path)


@pytest.mark.parametrize("name", [*KINDS, "heic"])
def test_something_behind_the_end_is_no_cut(studio: Studio, name: str, tmp_path: Path) -> None:
    """A phone puts a film behind a picture, a tagger a tag behind a song."""
    body = heic(studio) if name == "heic" else studio.clip(name)
    chance = random.Random(f"behind {name}")
    for count in BEHIND:
        for more in (chance.randbytes(count), bytes(count)):
            assert ending(body + more, tmp_path) in {Ending.WHOLE, Ending.UNKNOWN}


def test_a_motion_photo_is_a_picture(studio: Studio, tmp_path: Path) -> None:
    """JPEG with a film behind it."""
    assert ending(studio.clip("jpg") + studio.clip("mp4"), tmp_path) is Ending.WHOLE


def test_a_box_that_only_a_camera_knows_is_passed_over(studio: Studio, tmp_path: Path) -> None:
    """At the top, before the index."""
    body = studio.clip("late.mp4")
    length = int.from_bytes(body[:4], "big")
    own = struct.pack(">I4s", 20, b"udta") + bytes(12) + struct.pack(">I4s", 16, b"_htc") + bytes(8)
    # behind the data, so that the index still names the right places
    at = length + int.from_bytes(body[length : length + 4], "big")
    while body[at + 4 : at + 8] != b"moov":
        at += int.from_bytes(body[at : at + 4], "big")
    assert ending(body[:at] + own + body[at:], tmp_path) is Ending.WHOLE


def test_a_count_of_pictures_that_are_not_there_is_not_followed(tmp_path: Path) -> None:
    """Four thousand million extents in a few dozen bytes."""
    iloc = struct.pack(">I4sIHI", 18, b"iloc", 0x02000000, 0x4444, 0xFFFFFFFF)
    meta = struct.pack(">I4sI", 12 + len(iloc), b"meta", 0) + iloc
    body = b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + meta
    assert ending(body, tmp_path) is Ending.UNKNOWN


def test_a_gif_without_its_last_byte_may_be_whole(studio: Studio, tmp_path: Path) -> None:
    """Some programs leave the trailer out; whoever stops inside of a picture does not."""
    body = studio.clip("gif")
    assert ending(body[:-1], tmp_path) is Ending.UNKNOWN
    assert ending(body[:-2], tmp_path) is Ending.CUT


@pytest.mark.parametrize("length", [0, 0x7FFFF024, 0xFFFFFFFF])
def test_a_wav_that_was_written_into_a_pipe_does_not_know_its_length(
    studio: Studio, tmp_path: Path, length: int
) -> None:
    """Its sound goes on to the end, whatever it says."""
    body = studio.clip("wav")
    at = body.index(b"data") + 4
    piped = body[:4] + struct.pack("<I", length) + body[8:at] + struct.pack("<I", length)
    assert ending(piped + body[at + 4 :], tmp_path) is Ending.UNKNOWN


def test_a_quicktime_film_that_is_older_than_ftyp_is_known(studio: Studio, tmp_path: Path) -> None:
    """It begins with its data, or with `wide`."""
    body = studio.clip("mov")
    length = int.from_bytes(body[:4], "big")
    old = struct.pack(">I4s", length, b"wide") + bytes(length - 8) + body[length:]
    kind = sniff(old[:HEAD])
    assert kind is not None
    assert kind.type == "video/quicktime"
    assert ending(old, tmp_path) is Ending.WHOLE


def test_a_tag_is_not_the_sound_behind_it(studio: Studio, tmp_path: Path) -> None:
    """Raw AAC behind an ID3 tag was called MP3; so was FLAC."""
    tag = b"ID3\x04\0\0" + bytes([0, 0, 20, 0]) + bytes(20 * 128)
    for name, kind in (("aac", "audio/aac"), ("flac", "audio/flac"), ("mp3", "audio/mpeg")):
        path = tmp_path / name
        path.write_bytes(tag + studio.clip(name))
        with path.open("rb") as file:
            found = sniff_file(file, path.stat().st_size)
        assert found is not None
        assert found.type == kind


def test_a_recording_that_begins_inside_of_a_frame_is_known(studio: Studio, tmp_path: Path) -> None:
    body = studio.clip("plain.mp3")[50:]
    assert sniff(body[:HEAD]) is MP3
    (tmp_path / "file").write_bytes(body)
    assert inspect(tmp_path / "file").inside.audio


@pytest.mark.parametrize(
    "begin",
    [
        b"PK\x03\x04" + bytes(30),
        b"song.mp3".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0"),
        b"\0\0\1\xba" + bytes(30),
        b"BM" + bytes(52),
        b"FWS\6" + bytes(20),
    ],
    ids=["zip", "tar", "program stream", "bitmap", "flash"],
)
def test_what_holds_sound_is_no_sound(studio: Studio, begin: bytes) -> None:
    """Archives and others with frames of MP3 in them."""
    assert sniff((begin + studio.clip("plain.mp3"))[:HEAD]) is None


@pytest.mark.parametrize("rest", [b"U" * 300, b"\0" * 900, b"A word in it" * 20])
def test_a_frame_may_hold_anything(studio: Studio, rest: bytes) -> None:
    """LAME fills them with letters; with changing rates the rest of one is longer than what
    follows.
    """
    body = studio.clip("plain.mp3")
    at = body.index(b"\xff\xfb", 50) if body[:3] == b"ID3" else 0
    assert sniff((rest + body[at:])[:HEAD]) is MP3


def test_packets_that_are_spoilt_later_are_packets(studio: Studio) -> None:
    """A join, or an error of reception; and what stands behind the last one."""
    body = studio.clip("ts")
    spoilt = body[: 188 * 12] + b"x" * 60 + body[188 * 12 :]
    assert sniff(spoilt[:HEAD]) is MPEG_TS
    assert sniff(body[: 188 * 4] + b"\n") is MPEG_TS


def test_letters_are_no_packets() -> None:
    """DNA has four of them."""
    text = bytearray(b"ACTA" * 2048)
    text[0] = text[188] = text[376] = text[4] = text[196] = text[388] = ord("G")
    assert sniff(bytes(text)) is None


def test_a_large_index_costs_nothing(tmp_path: Path) -> None:
    """Boxes that say of themselves that they are much longer."""
    index = _box(b"sidx", bytes(22) + b"\xff\xff" + bytes(12))
    begin = _box(b"ftyp", b"isom\0\0\0\0isom") + _box(b"moov", _box(b"mvex"))
    begun = time.process_time()
    assert ending(begin + index * 2000, tmp_path) is Ending.UNKNOWN
    assert time.process_time() - begun < 1


def test_packets_with_a_time_in_front_are_known(studio: Studio, tmp_path: Path) -> None:
    """As cameras and Blu-rays write them."""
    body = studio.clip("ts")
    packets = [body[at : at + 188] for at in range(0, len(body), 188)]
    path = tmp_path / "file"
    path.write_bytes(b"".join(b"\0\0\0\0" + packet for packet in packets))
    found = inspect(path)
    assert ("m2ts", True, True) == (found.kind.extension, found.inside.video, found.inside.audio)


def test_a_wave_of_broadcasters_is_known(studio: Studio, tmp_path: Path) -> None:
    """ITU-R BS.2088."""
    path = tmp_path / "file"
    path.write_bytes(studio.clip("long.wav").replace(b"RF64", b"BW64", 1))
    assert inspect(path).kind.extension == "wav"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FetchError):
        inspect(path)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1"])
def test_a_picture_of_a_phone_is_no_film(brand: bytes) -> None:
    """It was stored as photo.mp4."""
    found = sniff(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(400))
    assert found is not None
    assert found.type == "image/heic"


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"<html>", b"#EXTM3U\n", b"ffconcat version 1.0\n", b"\x7fELF", b"PK\x03\x04"),
        *("Text in Latin letters".encode("utf-16"), b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"),
        *(b"\xff\xff\xff\xff", b"\xff\xfb\xff\xff", b"\0\0\0\0mdat", b"OggX", b"RIFF\0\0\0\0ACON"),
    ],
)
def test_what_is_no_media_has_no_type(head: bytes) -> None:
    """Pages, playlists, programs."""
    assert sniff(head.ljust(HEAD, b" ")) is None


@pytest.mark.parametrize(
    "body",
    [
        b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0\0\0\x02moov" * 10,
        b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0\0\0\x08free" * 1_000_000,
        b"\xff\xd8\xff\xe0" + b"\xff\xd0" * 1_000_000,
        b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xfe\0" * 1_000_000,
        b"\x1aE\xdf\xa3\x80\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff" + b"\xec\x80" * 1_000_000,
        b"RIFF\xff\xff\xff\x7fWAVE" + b"junk\0\0\0\0" * 500_000,
    ],
)
def test_a_structure_that_is_made_to_keep_us_busy_is_not_followed(
    body: bytes, tmp_path: Path
) -> None:
    """A box of length 2 would loop for ever, a million of them for long."""
    assert ending(body, tmp_path) in {None, Ending.CUT, Ending.UNKNOWN}
    with pytest.raises(FetchError) as caught:
        inspect(tmp_path / "file")
    assert caught.value.reason in {"SiteError", "NotSupported"}


def _box(name: bytes, *parts: bytes) -> bytes:
    inside = b"".join(parts)
    return struct.pack(">I4s", 8 + len(inside), name) + inside


def _table(name: bytes, *numbers: int) -> bytes:
    return _box(name, bytes(4), struct.pack(f">{len(numbers)}I", *numbers))


def _film(folder: Path, *, offsets: list[int], runs: list[int], sizes: list[int]) -> Path:
    """Tables as a careless program writes them, before 1,000 bytes of samples."""
    table = _box(
        b"stbl",
        _table(b"stco", *offsets),
        _table(b"stsc", *runs),
        _table(b"stsz", 0, *sizes),
    )
    track = _box(b"trak", _box(b"mdia", _box(b"minf", table)))
    path = folder / "film.mp4"
    begin = _box(b"ftyp", b"isom\0\0\0\0isom") + _box(b"moov", track)
    path.write_bytes(begin + _box(b"mdat", bytes(1000)))
    return path


@pytest.mark.parametrize(
    ("offsets", "runs", "sizes"),
    [
        ([2, 300, 0xC000009D], [1, 1, 4, 1], [4, 9, 9, 9, 9]),
        ([2, 300, 600], [1, 1, 2, 1], [3, 50, 50, 50]),
        ([2, 300, 600], [1, 1, 1, 1, 0, 0, 0], [2, 50, 50]),
        ([1, 300], [1, 1, 3, 1], [2, 50, 50]),
    ],
    ids=[
        "a chunk without samples",
        "a short last chunk",
        "zeros behind the table",
        "sizes end early",
    ],
)
def test_a_film_is_whole_where_its_samples_are(
    tmp_path: Path, offsets: list[int], runs: list[int], sizes: list[int]
) -> None:
    """Players go by the count of samples; the first is a real film that they all play."""
    path = _film(tmp_path, offsets=offsets, runs=runs, sizes=sizes)
    with path.open("rb") as file:
        kind = sniff_file(file, path.stat().st_size)
    assert kind is not None
    assert ending_of(path, kind) is Ending.WHOLE
    path.write_bytes(path.read_bytes()[:340])
    assert ending_of(path, kind) is not Ending.WHOLE


@pytest.mark.parametrize("runs", [[1, 0, 1, 1], [1, 1, 0, 1], [0], [2, 9, 1, 1, 1, 1, 1]])
@pytest.mark.parametrize("sizes", [[0], [2, 50, 50], [2**32 - 1]])
def test_tables_of_nonsense_break_nothing(
    tmp_path: Path, runs: list[int], sizes: list[int]
) -> None:
    """Numbers that count from one are zero, or come the wrong way round."""
    path = _film(tmp_path, offsets=[1, 100], runs=runs, sizes=sizes)
    assert isinstance(_ending(path), Ending)


def test_a_list_of_places_that_says_nothing_costs_nothing(tmp_path: Path) -> None:
    """Sixty-five thousand times as many extents of no bytes: an hour of a processor."""
    item = struct.pack(">HHH", 1, 0, 0xFFFF)
    places = _box(b"iloc", bytes(4), b"\0\0", struct.pack(">H", 0xFFFF), item * 0xFFFF)
    path = tmp_path / "a.avif"
    meta = _box(b"meta", bytes(4), places)
    path.write_bytes(_box(b"ftyp", b"avif\0\0\0\0avifmif1") + meta + _box(b"mdat", bytes(8)))
    with path.open("rb") as file:
        kind = sniff_file(file, path.stat().st_size)
    assert kind is not None
    assert ending_of(path, kind) is Ending.UNKNOWN


def test_an_animation_may_have_thousands_of_pictures(tmp_path: Path) -> None:
    """Each picture was read in pieces of 64 KiB, and after 4,096 the file was called cut."""
    picture = b"\x21\xf9\4\0\1\0\0\0" + b"\x2c" + bytes(8) + b"\0" + b"\2\2\x44\1\0"
    body = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + picture * 9000
    path = tmp_path / "a.gif"
    path.write_bytes(body + b"\x3b")
    assert _ending(path) is Ending.WHOLE
    path.write_bytes(body[:-3])
    assert _ending(path) is Ending.CUT


def test_what_cameras_leave_between_the_parts_of_a_picture_is_passed_over(tmp_path: Path) -> None:
    """Padding behind the first segment; its length leaves it out."""
    head = b"\xff\xd8\xff\xe1\0\6abcd"
    rest = b"\xff\xc0\0\2\xff\xda\0\2" + b"\x11" * 50 + b"\xff\xd9"
    path = tmp_path / "a.jpg"
    path.write_bytes(head + b"\0\xe1\0\0pad" + rest)
    assert _ending(path) is Ending.WHOLE
    path.write_bytes(head + b"\0\xe1\0\0pad" + rest[:-2])
    assert _ending(path) is Ending.CUT


@pytest.mark.parametrize(
    "behind",
    [
        b"x" * 20_000 + b"\xff\xd9",
        b"x" * 20_000 + b"\xff\xda\0\2" + b"\x11" * 50 + b"\xff\xd9",
        b"x" * 70_000 + b"\xff\xc0\0\2\xff\xda\0\2" + b"\x11" * 50 + b"\xff\xd9",
    ],
    ids=["no picture", "no frame", "a large hole"],
)
def test_a_picture_with_a_hole_is_cut(tmp_path: Path, behind: bytes) -> None:
    """An end without what it is the end of."""
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe1\0\6abcd" + behind)
    assert _ending(path) is Ending.CUT


@pytest.mark.parametrize("wide", [0, 2**64 - 1])
def test_a_large_wave_from_a_pipe_says_no_length(tmp_path: Path, wide: int) -> None:
    """RF64, whose beginning could not be written again."""
    fields = struct.pack("<QQQI", wide, wide, 0, 0)
    body = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", len(fields)) + fields
    body += b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    path = tmp_path / "a.wav"
    path.write_bytes(body + b"data\xff\xff\xff\xff" + bytes(999))
    assert _ending(path) is Ending.UNKNOWN


def _ending(path: Path) -> Ending:
    with path.open("rb") as file:
        kind = sniff_file(file, path.stat().st_size)
    assert kind is not None
    return ending_of(path, kind)
