"""Ranges, shards, lists, completions, rate limits: what needs nothing to be tried."""

import time
from typing import Any, cast

import pytest

from trawler_bot.bot import ShardAssignment
from trawler_bot.delivery.packing import STEPS, step_down
from trawler_bot.delivery.public_links import part
from trawler_bot.delivery.rate_limits import RateLimitMonitor
from trawler_bot.jobs import ids
from trawler_bot.jobs.index import PLAIN, JobIndex
from trawler_bot.presentation import listings
from trawler_bot.presentation.i18n import CATALOGUES, ENGLISH
from trawler_bot.storage.database import InteractionToken
from trawler_crds.media_job import (
    STORED,
    Condition,
    ConditionStatus,
    DeliveryStatus,
    DiscordDelivery,
    Media,
    MediaFile,
    MediaJob,
    MediaJobSpec,
    MediaJobStatus,
    MediaKind,
    ObjectMeta,
    Phase,
    Reuse,
)
from trawler_crds.messages import Place

HERE = DiscordDelivery(guild_id="7", channel_id="8", requester_id="9")


def job(
    name: str, phase: Phase = Phase.QUEUED, *, url: str = "https://a/1", **spec: Any
) -> MediaJob:
    meta = ObjectMeta(name=name, uid=f"uid-{name}", creation_timestamp="2026-11-21T10:00:00Z")
    ended = "2026-11-21T10:00:05Z" if phase is Phase.SUCCEEDED else None
    status = MediaJobStatus(phase=phase, completion_time=ended)
    wanted = {"media": PLAIN, **spec}
    return MediaJob(metadata=meta, spec=MediaJobSpec(url=url, **wanted), status=status)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, (0, 100)),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=20-10", None),
        ("bytes=1-2,5-6", (0, 100)),
        ("pages=1-2", (0, 100)),
        ("bytes=" + "9" * 5000 + "-", (0, 100)),
        ("bytes=\u0663-", (0, 100)),
    ],
)
def test_a_part_of_a_file(header: str | None, found: tuple[int, int] | None) -> None:
    """What is no single range gets all of it (RFC 9110, 14.2)."""
    assert found == part(header, 100)


def test_every_server_is_on_the_shard_of_one_process() -> None:
    """Of several, however many shards there are."""
    shares = [ShardAssignment(shards=5, replicas=3, ordinal=n) for n in range(3)]
    assert [0, 1, 2, 3, 4] == sorted(shard for share in shares for shard in share.mine())
    for guild_id in (0, 1 << 22, 1_060_000_000_000_000_004, 81_384_788_765_712_384):
        assert 1 == sum(share.owns(guild_id) for share in shares)


def test_a_completion_that_is_a_number_is_read_back() -> None:
    """And nothing else is taken for one."""
    assert 17 == ids.recent_number(ids.recent(17))
    for text in ("recent:", "recent:x", "https://a/", "17", "recent:" + "9" * 30):
        assert ids.recent_number(text) is None


def test_stepping_down_is_quick() -> None:
    """Below what was refused, and by a quarter at least."""
    limit = 10_000_000
    for _ in range(STEPS):
        refused = [MediaFile(name="a", bytes=limit, sha256="0" * 64, type="video/mp4")]
        less = step_down(limit, refused)
        assert less < limit * 0.76
        limit = less


def test_what_would_answer_at_once_is_known() -> None:
    """A plain request for an address, with when its files were stored; not one for something
    special.
    """
    index = JobIndex()
    index.see(job("a", Phase.SUCCEEDED), HERE)
    index.see(job("b", Phase.SUCCEEDED, url="https://a/2", reuse=Reuse.NEVER), HERE)
    audio = Media(kind=MediaKind.AUDIO)
    index.see(job("c", Phase.SUCCEEDED, url="https://a/3", media=audio), HERE)
    (known,) = index.stored("https://a/1")
    assert ("a", index.of_person(7, 9, 9)[0].stored) == (known.name, known.stored)
    assert [] == index.stored("https://a/2") == index.stored("https://a/3")
    index.forget(job("a", Phase.SUCCEEDED).uid)
    assert [] == index.stored("https://a/1"), "it was deleted"


def test_what_was_answered_from_the_store_is_as_old_as_its_files() -> None:
    """It was offered as "already here" for an hour after each answer, and then fetched anew."""
    done = job("a", Phase.SUCCEEDED)
    stored = Condition(
        type=STORED,
        status=ConditionStatus.TRUE,
        reason="Reused",
        last_transition_time="2020-01-01T00:00:00Z",
    )
    reused = done.status.model_copy(update={"conditions": [stored]})
    index = JobIndex()
    index.see(done.model_copy(update={"status": reused}), HERE)
    (known,) = index.stored(done.spec.url)
    assert known.stored < known.asked


def test_messages_and_followers_are_found() -> None:
    """By the message that shows a job, now or earlier; by the job that another waits for."""
    index = JobIndex()
    shown = DeliveryStatus(message_id="50", further_message_ids=["51"], call_message_id="52")
    first = job("a", Phase.SUCCEEDED)
    index.see(first.model_copy(update={"status": MediaJobStatus(delivery=shown)}), HERE)
    again = job("a-r1")
    status = MediaJobStatus(delivery=DeliveryStatus(message_id="50"), follows="b")
    index.see(again.model_copy(update={"status": status}), HERE)
    assert {"a", "a-r1"} == {each.name for each in index.of_message(50)}
    assert (51, 52) == index.of_message(50)[0].beside
    assert [] == index.of_message(51)
    assert index.followed("b")
    assert not index.followed("a")
    index.forget("uid-a-r1")
    assert not index.followed("b")


def test_lists_fit_a_message_and_say_what_is_left_out() -> None:
    """In both languages, harmless, the oldest first."""
    recent = JobIndex()
    for number in range(40):
        recent.see(job(f"j{number}", url=f"https://a/{'x' * 150}/{number}*_*"), HERE)
    for to in CATALOGUES:
        rows = [(each, None) for each in recent.of_guild(7)]
        text = listings.queue(rows, to)
        assert len(text) < 2000
        assert text.splitlines()[-1].startswith("…")
        assert "<@9>" in text
    assert 40 == len(recent.of_guild(7))
    assert [] == recent.of_guild(8)
    recent.forget("uid-j0")
    recent.see(job("j1", Phase.SUCCEEDED), HERE)
    assert [f"j{number}" for number in range(2, 40)] == [each.name for each in recent.of_guild(7)]
    for number in range(3, 40):
        recent.forget(f"uid-j{number}")
    assert ["j2"] == [each.name for each in recent.of_guild(7)]


def test_a_place_in_line_is_listed() -> None:
    """As the operator published it."""
    recent = JobIndex()
    waiting = job("a")
    recent.see(waiting, HERE)
    (row,) = recent.of_guild(7)
    place = Place(uid=waiting.uid, place=3)
    assert "number 3" in listings.queue([(row, place)], ENGLISH)


def test_a_pass_ends() -> None:
    """By the clock."""
    held = InteractionToken("t", 1, time.time() + 1)
    assert held.alive(time.time())
    assert not held.alive(time.time() + 2)


def test_a_bucket_with_little_left_gets_no_progress() -> None:
    """Until it is full again, as its answers say."""
    rates = RateLimitMonitor()

    class Answer:
        headers = {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset-After": "0.05"}

    assert not rates.low("channels/1")
    rates._note("channels/1", cast("Any", Answer))
    assert rates.low("channels/1")
    assert not rates.low("channels/2")
    time.sleep(0.06)
    assert not rates.low("channels/1")
    rates._note("channels/3", cast("Any", Answer))
    assert ["channels/3"] == list(rates._left), "one that is full again is forgotten"
