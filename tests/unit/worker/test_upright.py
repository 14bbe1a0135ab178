"""How large a picture or a film is as people see it: upright."""

import struct
from pathlib import Path

import av
import pytest

from trawler_sandbox.media import Studio
from trawler_worker.fetcher.media.containers.reading import Bytes
from trawler_worker.fetcher.media.containers.upright import shown
from trawler_worker.fetcher.media.inspection import Inspected, inspect


def looked_at(body: bytes, folder: Path) -> Inspected:
    path = folder / "file"
    path.write_bytes(body)
    return inspect(path)


def sides(body: bytes, folder: Path) -> tuple[int | None, int | None]:
    found = looked_at(body, folder).inside
    return found.width, found.height


def exif(orientation: int, order: str) -> bytes:
    """A segment of JPEG with two entries, as a phone writes it."""
    begin = b"II*\0" if order == "<" else b"MM\0*"
    make = struct.pack(f"{order}HHI4s", 0x010F, 2, 4, b"Us.\0")
    turned = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = begin + struct.pack(f"{order}IH", 8, 2) + make + turned + bytes(4)
    return struct.pack(">BBH", 0xFF, 0xE1, 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (6, True), (8, True)])
def test_a_photo_has_the_sides_that_people_see(
    studio: Studio, tmp_path: Path, orientation: int, order: str, *, turned: bool
) -> None:
    body = studio.clip("jpg")
    wide = sides(body, tmp_path)
    found = sides(body[:2] + exif(orientation, order) + body[2:], tmp_path)
    assert found == (wide[::-1] if turned else wide)


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xe1\0\x02",
        b"\xff\xe1\0\x08Exif\0\0",
        exif(6, "<").replace(b"\x08\0\0\0", b"\xff\xff\xff\xff"),
        exif(6, "<").replace(b"\x02\0", b"\xff\xff", 1),
    ],
)
def test_orientation_that_is_nonsense_turns_nothing_and_breaks_nothing(
    studio: Studio, tmp_path: Path, segment: bytes
) -> None:
    body = studio.clip("jpg")
    width, height = sides(body[:2] + segment + body[2:], tmp_path)
    assert width
    assert height


def test_a_fill_byte_before_the_orientation_is_passed_over(studio: Studio, tmp_path: Path) -> None:
    body = studio.clip("jpg")
    wide = sides(body, tmp_path)
    assert sides(body[:2] + b"\xff" + exif(6, "<") + body[2:], tmp_path) == wide[::-1]


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
@pytest.mark.parametrize(("degrees", "turned"), [(0, False), (90, True), (180, False), (-90, True)])
def test_a_film_has_the_sides_that_people_see(
    studio: Studio, tmp_path: Path, kind: str, degrees: int, *, turned: bool
) -> None:
    """Whatever its container writes the turn as."""
    source, made = tmp_path / "source", tmp_path / f"made.{kind}"
    source.write_bytes(studio.clip("mp4"))
    with av.open(str(source)) as read, av.open(str(made), "w") as write:
        (pictures,) = read.streams.video
        stream = write.add_stream_from_template(pictures)
        stream.set_display_rotation(degrees)
        for packet in read.demux(pictures):
            if packet.dts is not None:
                packet.stream = stream
                write.mux(packet)
    wide = sides(studio.clip("mp4"), tmp_path)
    assert sides(made.read_bytes(), tmp_path) == (wide[::-1] if turned else wide)


def described(body: bytes, *, turn: int) -> bytes:
    """A picture of libavif's, told to be 4032 x 3024 as the grid of a phone is, and turned."""
    at = body.index(b"ispe")
    larger = body[: at + 8] + struct.pack(">II", 4032, 3024) + body[at + 16 :]
    if not turn:
        return larger
    # in the place of a property that says nothing of the size
    known = larger.index(b"pixi")
    length = struct.unpack(">I", larger[known - 4 : known])[0]
    return (
        larger[:known] + b"irot" + bytes([turn]) + bytes(length - 9) + larger[known - 4 + length :]
    )


@pytest.mark.parametrize(
    ("turn", "seen"), [(0, (4032, 3024)), (1, (3024, 4032)), (3, (3024, 4032))]
)
def test_a_picture_of_tiles_has_the_size_of_the_whole(
    studio: Studio, tmp_path: Path, turn: int, seen: tuple[int, int]
) -> None:
    """Not of its first tile."""
    assert seen == sides(described(studio.clip("avif"), turn=turn), tmp_path)


@pytest.mark.parametrize(("round_", "turned"), [(0, True), (1, False)])
def test_the_pose_of_a_sphere_turns_no_film(tmp_path: Path, round_: int, *, turned: bool) -> None:
    """A film of all sides has a roll as well."""

    def element(name: str, *parts: bytes) -> bytes:
        inside = b"".join(parts)
        return bytes.fromhex(name) + bytes([0x80 | len(inside)]) + inside

    kind, roll = element("7671", bytes([round_])), element("7675", struct.pack(">f", 90.0))
    track = element("ae", element("e0", element("7670", kind, roll)))
    path = tmp_path / "file"
    path.write_bytes(element("1a45dfa3") + element("18538067", element("1654ae6b", track)))
    with path.open("rb") as file:
        assert turned is shown(Bytes(file, path.stat().st_size), "matroska", image=False).turned


def test_a_film_has_no_sides_but_its_own(studio: Studio, tmp_path: Path) -> None:
    """A picture beside it says nothing of it."""
    picture = described(studio.clip("avif"), turn=0)
    meta = picture[picture.index(b"meta") - 4 : picture.index(b"mdat") - 4]
    film = studio.clip("mp4")
    assert sides(film + meta, tmp_path) == sides(film, tmp_path)
