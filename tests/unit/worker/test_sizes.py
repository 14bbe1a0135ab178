"""How small a film may become, and when that is not worth it any more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trawler_worker.fetcher.conversion.sizes import (
    LEAST_BITS,
    LEAST_SOUND,
    MOST_SOUND,
    Size,
    budget,
    coding_seconds,
    even,
    worth_watching,
)

MB = 1_000_000


@given(st.integers(1, 9_000), st.integers(1, 9_000))
def test_every_size_is_even_and_within_what_phones_show(width: int, height: int) -> None:
    """In its own shape, up to a line."""
    size = Size(width, height).within(1920, 1080)
    assert (0, 0) == (size.width % 2, size.height % 2)
    assert 2 <= min(size.width, size.height) <= 1080
    assert max(size.width, size.height) <= 1920
    assert even(size) == size


@given(st.integers(50_000, 500 * MB), st.floats(0.1, 36_000))
def test_pictures_and_sound_together_stay_below_the_limit(limit: int, seconds: float) -> None:
    """With room for the container, and for what an encoder misses its aim by."""
    for sound in (True, False):
        bits = budget(limit, seconds, sound=sound)
        assert (bits.video + bits.sound) * seconds <= limit * 8 * 0.95
        assert bits.sound in range(LEAST_SOUND, MOST_SOUND + 1) if sound else 0 == bits.sound


@pytest.mark.parametrize(
    ("size", "rate", "seconds", "limit", "side"),
    [
        (Size(1920, 1080), 30, 60, 10 * MB, 1080),
        (Size(1920, 1080), 60, 60, 10 * MB, 720),
        (Size(1920, 1080), 30, 120, 10 * MB, 720),
        (Size(1080, 1920), 30, 120, 10 * MB, 720),
        (Size(1920, 1080), 30, 600, 10 * MB, 240),
        (Size(640, 360), 30, 60, 10 * MB, 360),
        (Size(1920, 1080), 30, 3600, 10 * MB, None),
        (Size(1920, 1080), 30, 3600, 500 * MB, 720),
    ],
)
def test_a_film_becomes_smaller_before_it_becomes_unwatchable(
    size: Size, rate: float, seconds: float, limit: int, side: int | None
) -> None:
    """The floor is in bits for each pixel of each picture; below it nothing is coded at all."""
    bits = budget(limit, seconds, sound=True).video
    found = worth_watching(size, rate, bits)
    assert side == (found.shorter if found else None)
    if found is not None:
        assert bits >= LEAST_BITS * found.width * found.height * rate


def test_what_would_take_longer_than_an_attempt_is_known_before() -> None:
    """A film of two hours in two passes does not end in a quarter of an hour; a minute does."""
    full = Size(1920, 1080)
    minute = coding_seconds(full, full, rate=30, seconds=60, passes=2)
    film = coding_seconds(full, full, rate=30, seconds=7200, passes=2)
    assert 60 < minute < 0.6 * 900 < film
    assert coding_seconds(full, Size(426, 240), rate=30, seconds=60, passes=2) < minute / 2
