"""The last words: sent in the best way that Discord takes, and never tried for ever."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import discord
import pytest

from trawler_bot.delivery.ending import LINK_TRIES, UPLOAD_TRIES, Ending
from trawler_bot.delivery.tracked_job import TrackedJob
from trawler_bot.delivery.upload_limits import Route
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import ENGLISH
from trawler_bot.presentation.rendering import Reply, Shown
from trawler_bot.storage.database import Unanswered
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import DeliveryStatus, MediaJob, MediaJobStatus, Phase

MIB = 1024 * 1024


def done(*sizes: int) -> MediaJob:
    """Succeeded, with files of these sizes."""
    files = [
        {"name": f"{n}.mp4", "bytes": size, "sha256": f"{n:064}", "type": "video/mp4"}
        for n, size in enumerate(sizes)
    ]
    where = {"channelId": "1", "requesterId": "2", "guildId": "3"}
    return MediaJob.model_validate(
        {
            "metadata": {"name": "d-1", "uid": "u1", "resourceVersion": "5"},
            "spec": {"url": "https://a.example/x", "delivery": {"discord": where}},
            "status": {"phase": "Succeeded", "files": files, "source": {"title": "A title"}},
        }
    )


def refused(status: int, code: int) -> discord.HTTPException:
    answer = cast("Any", SimpleNamespace(status=status, reason="no"))
    return discord.HTTPException(answer, {"code": code, "message": "no"})


class Message:
    """One that meets each edit as it is told to, and keeps what it shows."""

    def __init__(self, *, most: int = 10 * MIB, together: int | None = None) -> None:
        self.where = SimpleNamespace(
            locale=None, private=False, channel_id="1", requester_id="2", replaces=None
        )
        self.guild_id, self.route, self.announced = 3, Route.TOKEN, most
        self.beside = (Route.CHANNEL, most)
        self.by_token_only = False
        self.direct = False
        self.message_id: int | None = 7
        self.said: list[str] = []
        self.further: list[int] = []
        self.call: int | None = None
        self.shown: list[tuple[str, list[str]]] = []
        self.attached: list[str] = []
        self.refuses: list[Exception] = []
        self.news: list[Exception] = []
        self.words: list[Exception] = []
        self.put_: list[list[str]] = []
        self.meets: list[Exception] = []
        self._together = together

    def noted(self) -> DeliveryStatus:
        return DeliveryStatus(message_id="7")

    async def edit(self, reply: Reply, files: list[Any] | None) -> None:
        if files and self.meets:
            raise self.meets.pop(0)
        if files is None and self.words:
            raise self.words.pop(0)
        self._weigh(files or [])
        if files is not None:
            self.attached = [file.filename for file in files]
        self.shown.append((reply.content, [file.filename for file in files or []]))

    async def put(self, at: int, files: list[Any], _: str) -> None:
        if self.refuses:
            raise self.refuses.pop(0)
        self._weigh(files)
        self.further.insert(at, at)
        self.put_.append([file.filename for file in files])

    def _weigh(self, files: list[Any]) -> None:
        if self._together is not None and sum(file.size for file in files) > self._together:
            raise refused(413, 0)

    async def anew(self, reply: Reply, files: list[Any], _: str) -> None:
        if files and self.news:
            raise self.news.pop(0)
        self.attached = [file.filename for file in files]
        self.shown.append((reply.content, self.attached))

    async def ring(self, words: str, _: str, *, calling: bool) -> None:
        assert not calling
        self.said.append(words)

    async def trim(self, kept: int) -> None:
        self.further = self.further[:kept]


class Limits:
    """What was learnt of a server's limit, in memory."""

    def __init__(self) -> None:
        self.learnt: list[int] = []

    def of(self, _: int, __: Route, announced: int) -> int:
        return min([announced, *self.learnt])

    async def learn(self, _: int, __: Route, most: int) -> None:
        self.learnt.append(most)


class Attachments:
    """Files without bytes."""

    @asynccontextmanager
    async def files(
        self, _: MediaJob, wanted: list[Any], *, plain: bool
    ) -> AsyncIterator[list[Any]]:
        names = [f"plain-{n}" if plain else file.name for n, file in enumerate(wanted)]
        yield [
            SimpleNamespace(filename=name, size=file.bytes)
            for name, file in zip(names, wanted, strict=True)
        ]


class Links:
    """A route to files whose database answers the nth time."""

    def __init__(self, after: int = 0) -> None:
        self.after = after

    async def link(self, _: MediaJob, file: Any) -> str:
        self.after -= 1
        if self.after >= 0:
            raise Unanswered("publish")
        return f"https://l.example/{file.name}"


class Noted:
    async def note_messages(self, job: MediaJob, _: DeliveryStatus) -> MediaJob:
        return job


def ending(job: MediaJob, message: Message, links: Links | None = None) -> tuple[Ending, Limits]:
    limits = Limits()
    services = SimpleNamespace(
        limits=limits, attachments=Attachments(), links=links or Links(), jobs=Noted()
    )
    return Ending(TrackedJob(job), cast("Any", message), cast("Any", services)), limits


async def test_what_was_too_much_together_is_sent_in_several_messages() -> None:
    """And nothing is learnt of one file."""
    job, message = done(*[4 * MIB] * 5), Message(together=9 * MIB)
    found, limits = ending(job, message)
    assert await found.show(job, None) is None
    assert [] == limits.learnt
    assert [["0.mp4", "1.mp4"]] == [names for _, names in message.shown]
    assert [["2.mp4", "3.mp4"], ["4.mp4"]] == message.put_


async def test_an_upload_that_runs_out_of_time_ends_in_words() -> None:
    """On a thin line the same ten megabytes were sent for ever."""
    job, message = done(MIB), Message()
    message.meets = [TimeoutError()] * 100
    found, _ = ending(job, message)
    tries = 0
    why: str | None = None
    while not message.shown:
        tries += 1
        try:
            why = await found.show(job, None)
        except TimeoutError:
            assert tries < UPLOAD_TRIES
    assert "UploadTooSlow" == why
    ((words, names),) = message.shown
    assert [] == names
    assert "The upload to Discord kept failing." in words
    assert [0] == found.noted().omitted


async def test_automod_leaves_the_file_without_its_names() -> None:
    """First without a stranger's words; where even that is refused, without the files."""
    job = done(MIB)
    message = Message()
    message.meets = [refused(400, 200000)]
    found, _ = ending(job, message)
    assert await found.show(job, None) is None
    ((words, names),) = message.shown
    assert ["plain-0"] == names
    assert "A title" not in words
    assert "AutoMod" in words
    message = Message()
    message.meets = [refused(400, 200000)] * 2
    found, _ = ending(job, message)
    assert "BlockedByAutoMod" == await found.show(job, None)
    assert [[]] == [names for _, names in message.shown]


@pytest.mark.parametrize("after", [1, LINK_TRIES + 5])
async def test_a_link_is_waited_for_and_not_for_ever(after: int) -> None:
    """While the database is away for a moment, and for long."""
    job, message = done(50 * MIB), Message()
    found, _ = ending(job, message, Links(after))
    for _ in range(LINK_TRIES):
        try:
            await found.show(job, None)
            break
        except OSError:
            assert [] == message.shown
    ((words, _),) = message.shown
    assert ("https://l.example/0.mp4" in words) is (after == 1)


async def test_a_message_that_is_gone_is_not_asked_for() -> None:
    """Discord said that it was deleted."""
    job, message = done(MIB), Message()
    found, _ = ending(job, message)
    found._tracked.message_gone = True
    assert "MessageGone" == await found.show(job, None)
    assert [] == message.shown


def before() -> Shown:
    """What an earlier job left in the message."""
    return Shown(done(MIB), [], {}, 10 * MIB)


def further(job: MediaJob, **changes: Any) -> MediaJob:
    """The same, as a try in the message of an earlier one."""
    assert job.spec.delivery is not None
    assert job.spec.delivery.discord is not None
    where = job.spec.delivery.discord.model_copy(update={"replaces": "d-0"})
    spec = job.spec.model_copy(
        update={"delivery": job.spec.delivery.model_copy(update={"discord": where})}
    )
    return job.model_copy(update={"spec": spec, **changes})


async def test_a_further_try_of_which_nothing_fits_takes_nothing_away() -> None:
    """Video after Audio, over the limit: the sound stays, with words on the video."""
    job, message = further(done(50 * MIB)), Message()
    message.attached = ["sound.mp3"]
    found, _ = ending(job, message)
    assert "TooLarge" == await found.show(job, before())
    assert ["sound.mp3"] == message.attached
    ((words, _names),) = message.shown
    assert "the upload limit here is 10 MB" in words
    assert "New download: " in words


@pytest.mark.parametrize("refusal", [refused(403, 50013), refused(429, 30046), TimeoutError()])
async def test_no_refusal_takes_anything_away(refusal: Exception) -> None:
    """Of a further try that ended well, and that one that failed."""
    for job in (further(done(MIB)), further(done())):
        message = Message()
        message.attached = ["sound.mp3"]
        message.meets = [refusal] * 50
        found, _ = ending(job, message)
        if not job.status.files:
            failed = MediaJobStatus(phase=Phase.FAILED, reason=FailureReason.SITE_ERROR)
            job = job.model_copy(update={"status": failed})  # noqa: PLW2901
        for _ in range(UPLOAD_TRIES):
            with suppress(TimeoutError):
                await found.show(job, before())
                break
        assert message.attached in (["sound.mp3"], ["0.mp4"])
        assert message.shown or message.said


async def test_a_rest_that_is_refused_is_named_in_the_first_message() -> None:
    """Which keeps its files; nothing is dropped without a word."""
    job, message = done(*[MIB] * 12), Message()
    message.refuses = [refused(403, 50001)]
    found, _ = ending(job, message)
    assert "NoAccess" == await found.show(job, None)
    assert 10 == len(message.attached)
    assert "2 more files could not be posted here." in message.shown[-1][0]
    assert [10, 11] == found.noted().omitted


async def test_a_rest_that_is_too_slow_is_named_in_the_first_message() -> None:
    """And what was sent before it stays."""
    job, message = done(*[MIB] * 25), Message()
    found, _ = ending(job, message)
    message.refuses = [TimeoutError()] * UPLOAD_TRIES
    for _ in range(UPLOAD_TRIES):
        with suppress(TimeoutError):
            assert "UploadTooSlow" == await found.show(job, None)
            break
    assert 10 == len(message.attached)
    assert "15 more files could not be posted here." in message.shown[-1][0]


async def test_files_of_an_earlier_job_that_is_gone_stay() -> None:
    """Its time to live was over while the further try went on."""
    job, message = further(done(50 * MIB)), Message()
    message.attached = ["sound.mp3"]
    found, _ = ending(job, message)
    assert await found.show(job, None) is None
    assert ["sound.mp3"] == message.attached


async def test_what_is_removed_while_its_rest_is_sent_sends_no_more() -> None:
    """And what was sent of it goes."""
    job, message = done(*[MIB] * 40), Message()
    found, _ = ending(job, message)
    put = message.put

    async def removed(at: int, files: list[Any], nonce: str) -> None:
        await put(at, files, nonce)
        found._tracked.message_gone = True

    message.put = removed  # type: ignore[method-assign, assignment]
    assert "MessageGone" == await found.show(job, None)
    assert 1 == len(message.put_)
    assert [] == message.further


async def test_files_that_are_no_longer_in_the_store_are_said_to_be_lost() -> None:
    """The message said "Saving" for ever."""
    job, message = done(MIB), Message()
    message.meets = [FileNotFoundError()]
    found, _ = ending(job, message)
    assert "ObjectGone" == await found.show(job, None)
    assert "The files could not be saved." in message.shown[-1][0]


async def test_twenty_files_in_ten_messages_are_noted() -> None:
    """More than eight further messages ended the one who writes them."""
    status = DeliveryStatus(message_id="7", further_message_ids=[str(n + 100) for n in range(39)])
    assert 39 == len(status.further_message_ids or [])


def test_links_are_whole_or_not_there() -> None:
    """A link that is cut leads nowhere."""
    job = done(*[50 * MIB] * 40)
    files = job.status.files or []
    links = {file.sha256: f"https://l.example/{'x' * 60}/{file.name}" for file in files}
    said = rendering.ended(Shown(job, files, links, 10 * MIB), ENGLISH).content
    assert len(said) <= 2000
    assert said.count("<https://l.example/") == said.count(".mp4>")
    assert "more" in said.splitlines()[-1]


async def test_a_new_message_that_is_too_large_takes_nothing_away() -> None:
    """The old one takes no edit (30046), and the new one may hold less: what was there stays."""
    job, message = further(done(MIB)), Message()
    message.attached = ["sound.mp3"]
    message.meets = [refused(429, 30046)]
    message.news = [refused(413, 40005)] * 20
    message.words = [refused(429, 30046)] * 20
    found, _ = ending(job, message)
    await found.show(job, before())
    assert ["sound.mp3"] == message.attached
    assert message.said


async def test_a_new_message_that_never_comes_through_ends_in_words() -> None:
    """It is tried as often as any other upload."""
    job, message = done(MIB), Message()
    message.meets, message.news = [refused(429, 30046)] * 20, [TimeoutError()] * 20
    found, _ = ending(job, message)
    for _ in range(UPLOAD_TRIES):
        with suppress(TimeoutError):
            await found.show(job, None)
            break
    else:
        raise AssertionError("it never ended")


async def test_an_album_that_cannot_be_finished_keeps_what_it_has() -> None:
    """The words that say so are refused too (30046)."""
    job, message = done(*[MIB] * 12), Message()
    message.refuses, message.words = [refused(403, 50013)], [refused(429, 30046)]
    found, _ = ending(job, message)
    assert "NoPermission" == await found.show(job, None)
    assert 10 == len(message.attached)
    assert message.said
