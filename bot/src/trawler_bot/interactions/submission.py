"""From what a person wants to a MediaJob and the message that shows it."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import discord
from opentelemetry.trace import SpanKind

from trawler_bot.delivery.message import UNSURE, view
from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.delivery.upload_limits import Route
from trawler_bot.interactions import request as requests
from trawler_bot.interactions import rights, urls
from trawler_bot.interactions.cooldown import Cooldown
from trawler_bot.interactions.ephemeral import edit_reply, reply_ephemeral
from trawler_bot.interactions.request import DownloadRequest
from trawler_bot.interactions.rights import Hindrance
from trawler_bot.interactions.urls import BadLink, Link, Objection
from trawler_bot.jobs import ids
from trawler_bot.jobs.client import delivered, is_shown
from trawler_bot.jobs.guild_queues import GuildQueues
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import Key, Language, language, say, span
from trawler_bot.presentation.rendering import MOST_AT_ONCE
from trawler_bot.presentation.views import picker, try_again
from trawler_bot.services import Services
from trawler_bot.storage.database import PATIENCE, InteractionToken, Request
from trawler_common import logs, telemetry
from trawler_common.egress import AllowList
from trawler_common.failpoints import Failpoint, hit
from trawler_common.kube import ApiUnavailable, Conflict, NotFound, Rejected
from trawler_crds.addresses import MAX_URL
from trawler_crds.media_job import DeliveryStatus, MediaJob, MediaJobSpec

log = logs.get("submission")

OBJECTIONS: Final = {
    Objection.NOT_A_LINK: Key.NOT_A_LINK,
    Objection.MALFORMED: Key.MALFORMED,
    Objection.TOO_LONG: Key.LINK_TOO_LONG,
    Objection.WITH_PASSWORD: Key.LINK_WITH_PASSWORD,
    Objection.PRIVATE: Key.PRIVATE_ADDRESS,
}
HINDRANCES: Final = {
    Hindrance.BOT: Key.BOT_MAY_NOT_POST,
    Hindrance.REQUESTER: Key.YOU_MAY_NOT_POST,
}
PRESS_HINDRANCES: Final = {
    Hindrance.BOT: Key.BOT_MAY_NOT_PRESS,
    Hindrance.REQUESTER: Key.YOU_MAY_NOT_PRESS,
}
"""The same where nothing can be asked for privately: by a press, by right click."""
KEPT: Final = 1000
"""Requests kept for those who may ask again, and choices for those who pick."""
FURTHER: Final = 10
"""Further tries of one message that ended unseen, behind which a press still begins another."""
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What this install allows."""

    egress: AllowList
    guilds: frozenset[int]
    """Empty: all."""
    apart: float
    per_minute: int
    queue: dict[str, Any]
    """The spec of a new server's MediaQueue."""
    reuse_seconds: float
    shrink: bool = True
    """Whether what is too large for Discord is coded smaller."""


class RequestService:
    """Judges, makes the MediaJob, answers; whatever fails is said in private."""

    def __init__(self, tracker: JobTracker, services: Services, rules: Rules) -> None:
        self._tracker = tracker
        self._services = services
        self._rules = rules
        self._cooldown = Cooldown(apart=rules.apart, per_minute=rules.per_minute)
        self._requests: OrderedDict[int, DownloadRequest] = OrderedDict()
        self._choices: OrderedDict[int, list[Link]] = OrderedDict()
        self._queues = GuildQueues(services.jobs, rules.queue)
        self._unanswered = 0
        """People who wait for their answer just now."""

    def serves(self, guild_id: int | None) -> bool:
        """Whether this install answers there."""
        return not self._rules.guilds or guild_id in self._rules.guilds

    # ways in ----------------------------------------------------------------------------------

    async def download(self, interaction: discord.Interaction, wanted: DownloadRequest) -> bool:
        """One request, one message: MediaJob first, then the answer, then the note of which message
        it is. False: nothing was begun, and whoever asked was told why.
        """
        to = language(str(interaction.locale))
        if rights.is_forced_private(interaction):
            wanted = replace(wanted, private=True)
        link = await self._link(interaction, wanted.text, to)
        if link is None or await self._hindered(interaction, to, private=wanted.private):
            return False
        return await self._begin(interaction, ids.job(interaction.id), link, wanted, to)

    async def save(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """What a message holds: one thing at once; of several, a choice."""
        to = language(str(interaction.locale))
        found = links_of(message)
        if not found:
            await reply_ephemeral(interaction, say(to, Key.NOTHING_TO_SAVE))
        elif len(found) == 1:
            await self._take(interaction, found[0], to)
        else:
            _keep(self._choices, interaction.id, found)
            most = 1 if rights.is_external(interaction) else len(found)
            shown = picker(interaction.id, [each.written for each in found], to, most=most)
            await reply_ephemeral(interaction, say(to, Key.PICK), view=shown)

    async def pick(self, interaction: discord.Interaction, number: int, chosen: list[int]) -> None:
        """Each choice its own message, sent by us: an interaction has one answer only. The answer
        comes first, what came of it when it is known.
        """
        to = language(str(interaction.locale))
        offered = self._choices.get(number)
        if offered is None:
            await reply_ephemeral(interaction, say(to, Key.EXPIRED))
            return
        wanted = [offered[each] for each in chosen if each < len(offered)]
        for link in wanted:
            if not await self._is_public(interaction, link, to):
                return
        private = rights.is_forced_private(interaction)
        if not wanted or await self._hindered(interaction, to, private=private, by_press=True):
            return
        if self._choices.pop(number, None) is None:
            return  # an earlier press is being answered
        if rights.is_external(interaction):
            # the answer itself is the only message that we may write
            one = DownloadRequest(wanted[0].url, private=private)
            await self._begin(interaction, ids.job(interaction.id), wanted[0], one, to)
            return
        try:
            await interaction.response.edit_message(
                content=say(to, Key.PICKING, count=len(wanted)), view=None
            )
        except discord.HTTPException:
            _keep(self._choices, number, offered)  # the list still stands there
            raise
        jobs = await self._make_all(interaction, wanted, DownloadRequest(""))
        left = [link for link in wanted if link not in [made for _, made in jobs]]
        again = None
        if left:
            _keep(self._choices, number, left)
            again = picker(number, [each.written for each in left], to, most=len(left))
        await edit_reply(interaction, _picked(len(jobs), len(wanted), to), view=again)
        await self._follow_all(interaction, jobs)

    async def pick_from(
        self, interaction: discord.Interaction, job: MediaJob, chosen: list[int]
    ) -> None:
        """Some of what a link lists, each as the list was asked for and in a message of its own;
        the list stays.
        """
        to = language(str(interaction.locale))
        where = job.spec.delivery.discord if job.spec.delivery else None
        playlist = job.status.playlist
        entries = playlist.entries if playlist is not None else []
        places = [at for at in chosen[:MOST_AT_ONCE] if at < len(entries)]
        wanted = {at: link for at in places if (link := self._entry(entries[at].url)) is not None}
        if where is None or not places:
            await reply_ephemeral(interaction, say(to, Key.EXPIRED))
            return
        if not wanted:
            await reply_ephemeral(interaction, say(to, Key.PRIVATE_ADDRESS))
            return
        private = where.private or rights.is_forced_private(interaction)
        if await self._hindered(interaction, to, private=private, by_press=True):
            return
        like = DownloadRequest("", job.spec.media, spoiler=where.spoiler, private=private)
        if private or rights.is_external(interaction):
            # the answer itself is the only message that only this person sees, or that we may write
            first = next(iter(wanted.values()))
            await self._begin(interaction, ids.job(interaction.id), first, like, to)
            return
        await reply_ephemeral(interaction, say(to, Key.PICKING, count=len(wanted)))
        names = [ids.entry(job.name, at) for at in wanted]
        jobs = await self._make_all(interaction, list(wanted.values()), like, names=names)
        await edit_reply(interaction, _picked(len(jobs), len(places), to))
        await self._follow_all(interaction, jobs)

    def _entry(self, url: str) -> Link | None:
        """What a site lists, judged like what people type."""
        try:
            link = urls.normalise(url)
            urls.require_public(link, self._rules.egress)
        except BadLink:
            return None
        return link

    async def _follow_all(
        self, interaction: discord.Interaction, jobs: list[tuple[MediaJob, Link]]
    ) -> None:
        """From now on each has its message, and is remembered."""
        for job, _ in jobs:
            self._tracker.recover(job)
        for job, link in jobs:
            asked = requests.request(interaction, job.name, link.written)
            await self._services.database.note(asked, None, patience=PATIENCE)

    async def _take(self, interaction: discord.Interaction, link: Link, to: Language) -> None:
        """One link that was found and not typed."""
        private = rights.is_forced_private(interaction)
        if not await self._is_public(interaction, link, to):
            return
        if not await self._hindered(interaction, to, private=private, by_press=True):
            wanted = DownloadRequest(link.url, private=private)
            await self._begin(interaction, ids.job(interaction.id), link, wanted, to)

    async def _is_public(self, interaction: discord.Interaction, link: Link, to: Language) -> bool:
        """Whether a link may be tried; else that was said."""
        try:
            urls.require_public(link, self._rules.egress)
        except BadLink as error:
            await reply_ephemeral(interaction, _objection(error, to))
            return False
        return True

    async def _make_all(
        self,
        interaction: discord.Interaction,
        wanted: list[Link],
        like: DownloadRequest,
        *,
        names: list[str] | None = None,
    ) -> list[tuple[MediaJob, Link]]:
        """Those that could be made, all at once, each asked for like this; the others are not
        there. By `names` two presses are one, as long as the first has not ended.
        """
        own = [ids.job(interaction.id, at) for at in range(1, len(wanted) + 1)]

        async def make(name: str, other: str, link: Link) -> MediaJob | None:
            one = replace(like, text=link.written)
            spec = requests.spec(interaction, link, one, fit=self._fit(interaction))
            try:
                made = await self._services.jobs.create(name, spec)
                if name != other and delivered(made):  # it is wanted once more
                    made = await self._services.jobs.create(other, spec)
            except (ApiUnavailable, Rejected, NotFound) as error:
                log.warning("not_accepted", extra={"error": str(error)})
                if (
                    name == other
                ):  # else an earlier press may have begun it, and it is not ours to end
                    self._tracker.disown(name)
                return None
            return made

        made = await asyncio.gather(*map(make, names or own, own, wanted))
        return [(job, link) for job, link in zip(made, wanted, strict=True) if job is not None]

    async def ask_again(self, interaction: discord.Interaction, number: int) -> None:
        """The request that could not be taken before."""
        wanted = self._requests.get(number)
        if wanted is None:
            to = language(str(interaction.locale))
            await reply_ephemeral(interaction, say(to, Key.EXPIRED))
        elif await self.download(interaction, wanted):
            self._requests.pop(number, None)

    async def take_over(
        self, interaction: discord.Interaction, job: MediaJob, spec: MediaJobSpec
    ) -> None:
        """A press begins a further try in the message of a job that has ended; two presses are one.
        Raises ApiUnavailable, Rejected, NotFound.
        """
        assert interaction.message is not None
        to = language(str(interaction.locale))
        if not delivered(job):  # its message is still being written
            await reply_ephemeral(interaction, say(to, Key.STILL_WORKING))
            return
        private = bool(spec.delivery and spec.delivery.discord and spec.delivery.discord.private)
        missing = None if private else rights.hindrance(interaction)
        if missing is not None:
            await reply_ephemeral(interaction, say(to, PRESS_HINDRANCES[missing]))
            return
        if await self._waits(interaction, to):
            return
        await interaction.response.defer()
        name = job.name
        for _ in range(FURTHER):
            name = ids.again(name)
            if not await self._try_again(interaction, name, job, spec):
                return
        await reply_ephemeral(interaction, say(to, Key.NOT_NOW))

    async def _try_again(
        self, interaction: discord.Interaction, name: str, job: MediaJob, spec: MediaJobSpec
    ) -> bool:
        """One further try by its name. True: it is over, and its message never told of it, so that
        another has to begin. Raises ApiUnavailable, Rejected, NotFound.
        """
        assert interaction.message is not None
        with self._tracker.answering(name):
            try:
                with telemetry.span("ask again", kind=SpanKind.SERVER, job=name):
                    again = await self._services.jobs.create(name, spec)
            except (ApiUnavailable, Rejected, NotFound):
                self._cooldown.give_back(interaction.user.id, interaction.guild_id or 0)
                raise
            if delivered(again) and not is_shown(again):
                return True
            if again.spec.media != spec.media:  # another button was pressed before
                to = language(str(interaction.locale))
                await reply_ephemeral(interaction, say(to, Key.STILL_WORKING))
                return False
            if again.status.delivery is not None:
                return False  # an earlier press began it, and its message is being written
            where = spec.delivery.discord if spec.delivery else None
            link = (where.link if where is not None else None) or spec.url
            shown = (job.status.delivery or DeliveryStatus()).model_copy(
                update={"message_id": str(interaction.message.id), "omitted": None, "time": None}
            )
            asked = requests.request(interaction, name, link)
            await self._show_and_note(again, shown, requests.token(interaction), asked)
            return False

    # judging ----------------------------------------------------------------------------------

    async def _link(self, interaction: discord.Interaction, text: str, to: Language) -> Link | None:
        """What was typed, as a link that may be tried; None where it is none, and that was said. A
        completion whose link is too long for Discord is only a number of ours.
        """
        number = ids.recent_number(text)
        if number is not None:
            found = await self._services.database.request(number, interaction.user.id)
            text = found.url if found else text
        try:
            link = urls.normalise(text)
        except BadLink as error:
            await reply_ephemeral(interaction, _objection(error, to))
            return None
        return link if await self._is_public(interaction, link, to) else None

    async def _hindered(
        self,
        interaction: discord.Interaction,
        to: Language,
        *,
        private: bool,
        by_press: bool = False,
    ) -> bool:
        """Whether it ends here, with a sentence."""
        missing = None if private else rights.hindrance(interaction)
        if missing is not None:
            words = PRESS_HINDRANCES if by_press else HINDRANCES
            await reply_ephemeral(interaction, say(to, words[missing]))
            return True
        most = await self._queues.most(interaction.guild_id)
        there = self._tracker.index.of_guild(interaction.guild_id or 0)
        waiting = sum(job.waits for job in there)
        if most is not None and waiting >= most:
            await reply_ephemeral(interaction, say(to, Key.QUEUE_FULL, count=waiting))
            return True
        return await self._waits(interaction, to)

    async def _waits(self, interaction: discord.Interaction, to: Language) -> bool:
        """Whether this person has to wait, and is told how long."""
        server = interaction.guild_id or 0
        wait = self._cooldown.take(interaction.user.id, server, time.monotonic())
        if wait:
            await reply_ephemeral(interaction, say(to, Key.COOLDOWN, time=span(wait)))
        return bool(wait)

    def _fit(self, interaction: discord.Interaction) -> int | None:
        """Bytes that a file should have at most, to be attached here; None where files are not made
        smaller.
        """
        if not self._rules.shrink:
            return None
        announced = interaction.filesize_limit
        return self._services.limits.of(interaction.guild_id or 0, Route.TOKEN, announced)

    # doing ------------------------------------------------------------------------------------

    async def _begin(
        self,
        interaction: discord.Interaction,
        name: str,
        link: Link,
        wanted: DownloadRequest,
        to: Language,
    ) -> bool:
        token = requests.token(interaction)
        asked = requests.request(interaction, name, link.written)
        spec = requests.spec(interaction, link, wanted, fit=self._fit(interaction))
        noted = not requests.found_without_token(interaction, wanted)
        with self._tracker.answering(name), self._services.throttle.answers_first():
            self._unanswered += 1
            try:
                with telemetry.span("ask", kind=SpanKind.SERVER, job=name):
                    hit(Failpoint.BOT_ASKED)
                    job = await self._make(asked, spec, token if noted else None)
                    hit(Failpoint.BOT_ACCEPTED)
                    message_id = await _answer(interaction, job)
            except (ApiUnavailable, Rejected, NotFound) as error:
                await self._not_accepted(interaction, name, wanted, to, error)
                return False
            finally:
                self._unanswered -= 1
            await self._calm()
            shown = DeliveryStatus(message_id=str(message_id)) if message_id else None
            if noted:
                await self._show(job, shown, token)
            else:
                await self._show_and_note(job, shown, token, asked)
        return True

    async def _make(
        self, asked: Request, spec: MediaJobSpec, token: InteractionToken | None
    ) -> MediaJob:
        """The token is written down before the answer, where it is needed after a restart."""
        note = self._services.database.note
        noting = asyncio.create_task(note(asked, token)) if token else None
        try:
            return await self._services.jobs.create(asked.job, spec)
        finally:
            if noting is not None:
                await noting

    async def _not_accepted(
        self,
        interaction: discord.Interaction,
        name: str,
        wanted: DownloadRequest,
        to: Language,
        error: Exception,
    ) -> None:
        """Nothing was begun, and if it was all the same, it is cancelled."""
        log.warning("not_accepted", extra={"error": str(error)})
        self._tracker.disown(name)
        self._cooldown.give_back(interaction.user.id, interaction.guild_id or 0)
        _keep(self._requests, interaction.id, wanted)
        again = try_again(interaction.id, to)
        await reply_ephemeral(interaction, say(to, Key.NOT_ACCEPTED), view=again)

    async def _calm(self) -> None:
        """Answers go first: what is only to be noted waits for them, a moment at most."""
        for _ in range(20):
            if not self._unanswered:
                return
            await asyncio.sleep(0.05)

    async def _show_and_note(
        self,
        job: MediaJob,
        shown: DeliveryStatus | None,
        token: InteractionToken,
        asked: Request,
    ) -> None:
        note = self._services.database.note(asked, token, patience=PATIENCE)
        await asyncio.gather(note, self._show(job, shown, token))

    async def _show(
        self, job: MediaJob, shown: DeliveryStatus | None, token: InteractionToken
    ) -> None:
        """From now on these messages are the job's; where we do not know them, they are looked
        for.
        """
        if shown is None or shown.message_id is None:
            self._tracker.recover(job, token)
            return
        gone = False
        try:
            job = await self._services.jobs.note_messages(job, shown)
            hit(Failpoint.BOT_NOTED)
        except (ApiUnavailable, Conflict, NotFound, Rejected) as error:
            gone = isinstance(error, NotFound)  # the watch will not tell of it once more
            log.warning("message_not_noted", extra={"job": job.uid, "error": str(error)})
            status = job.status.model_copy(update={"delivery": shown})
            job = job.model_copy(update={"status": status})
        self._tracker.follow(job, token, gone=gone)


def links_of(message: discord.Message) -> list[Link]:
    """What a message holds, also what was forwarded with it and what its embeds show: files first,
    each once.
    """
    parts: list[discord.Message | discord.MessageSnapshot] = [message, *message.message_snapshots]
    files = [file.url for part in parts for file in part.attachments]
    texts = [part.content for part in parts]
    embeds = [embed for part in parts for embed in part.embeds]
    shown = [address for embed in embeds for address in _links_of(embed)]
    found = urls.find(" ".join([*files, *texts, *shown]))
    return found[: urls.MOST]


def _links_of(embed: discord.Embed) -> list[str]:
    """Where an embed leads: its own link where it has one, which previews have, else what it
    shows.
    """
    shown = [embed.video.url, embed.image.url]
    texts = [embed.description or "", *(field.value or "" for field in embed.fields)]
    main = [embed.url] if embed.url else [each for each in shown if each]
    return [*main, *texts]


async def _answer(interaction: discord.Interaction, job: MediaJob) -> int | None:
    """The message itself, at once; None where we do not know whether it was made."""
    where = job.spec.delivery.discord if job.spec.delivery else None
    reply = rendering.waiting(job, language(where.locale if where else None))
    try:
        made = await interaction.response.send_message(
            reply.content,
            view=view(reply) or discord.utils.MISSING,
            ephemeral=bool(where and where.private),
            allowed_mentions=discord.AllowedMentions.none(),
        )
    except (discord.HTTPException, *UNSURE) as error:
        log.warning("answer_lost", extra={"job": job.uid, "error": repr(error)})
        return None
    hit(Failpoint.BOT_ANSWERED)
    return made.message_id


def _objection(error: BadLink, to: Language) -> str:
    return say(to, OBJECTIONS[error.objection], count=error.length, limit=MAX_URL)


def _picked(made: int, wanted: int, to: Language) -> str:
    if not made:
        return say(to, Key.NOT_ACCEPTED)
    if made < wanted:
        return say(to, Key.PICKED_SOME, count=made, total=wanted)
    return say(to, Key.PICKED, count=made)


def _keep(kept: OrderedDict[int, Any], number: int, what: Any) -> None:
    kept[number] = what
    if len(kept) > KEPT:
        kept.popitem(last=False)
