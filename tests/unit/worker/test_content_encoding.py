"""Bodies that a site packed."""

import gzip
import random

import pytest

from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.network.content_encoding import unpacker


@pytest.mark.parametrize("seed", range(20))
def test_members_that_follow_each_other_are_one_body_wherever_it_is_cut(seed: int) -> None:
    """Also between the two bytes with which a member begins."""
    chance = random.Random(seed)
    bodies = [chance.randbytes(chance.randrange(2000)) for _ in range(3)]
    packed = b"".join(map(gzip.compress, bodies))
    found, at = b"", 0
    reader = unpacker("gzip")
    while at < len(packed):
        step = chance.choice((1, 2, 7, 500))
        found += b"".join(reader.feed(packed[at : at + step]))
        at += step
    reader.finish()
    assert found == b"".join(bodies)


def test_one_byte_at_a_time_loses_nothing() -> None:
    """The first byte of a second member came alone."""
    packed = gzip.compress(b"one") + gzip.compress(b"two")
    reader = unpacker("gzip")
    found = b"".join(
        piece for at in range(len(packed)) for piece in reader.feed(packed[at : at + 1])
    )
    assert found == b"onetwo"


def test_a_member_that_ends_too_early_is_told() -> None:
    """And what follows the last one is nobody's."""
    reader = unpacker("gzip")
    list(reader.feed(gzip.compress(b"x" * 999)[:-9]))
    with pytest.raises(FetchError, match="SiteError"):
        reader.finish()
    behind = unpacker("gzip")
    assert b"x" == b"".join(behind.feed(gzip.compress(b"x") + b"junk"))
    behind.finish()


@pytest.mark.parametrize("encoding", ["aws-chunked, gzip", "gzip,aws-chunked", ",gzip", "GZIP "])
def test_words_that_name_no_packing_are_passed_over(encoding: str) -> None:
    """Stores keep what an upload said."""
    reader = unpacker(encoding)
    assert b"x" == b"".join(reader.feed(gzip.compress(b"x")))
    reader.finish()


def test_what_was_packed_twice_is_unpacked_twice() -> None:
    """Not more often: each time, little may become a thousandfold."""
    reader = unpacker("gzip, gzip")
    packed = gzip.compress(gzip.compress(b"x" * 99_999))
    assert b"x" * 99_999 == b"".join(
        piece for at in range(0, len(packed), 50) for piece in reader.feed(packed[at : at + 50])
    )
    reader.finish()
    with pytest.raises(FetchError, match="SiteError"):
        unpacker("gzip, gzip, gzip")
    with pytest.raises(FetchError, match="SiteError"):
        unpacker("gzip, br")
