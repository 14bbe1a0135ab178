"""From what a person wants to a MediaJob and the message that shows it."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import discord
from opentelemetry.trace import SpanKind

from trawler_bot import links, names, replies, texts, wishes
from trawler_bot.cooldown import Cooldown
from trawler_bot.desk import Desk
from trawler_bot.following import Following
from trawler_bot.jobs import delivered
from trawler_bot.links import Objection
from trawler_bot.offers import picker, try_again
from trawler_bot.queues import Queues
from trawler_bot.records import PATIENCE, Pass, Request
from trawler_bot.sheet import UNSURE, view
from trawler_bot.texts import Key, Language, language, say
from trawler_bot.whispers import whisper
from trawler_bot.wishes import Wish
from trawler_common import logs, telemetry
from trawler_common.crashing import CrashPoint, reach
from trawler_common.egress import AllowList
from trawler_common.kube import ApiAway, Conflict, Missing, Refused
from trawler_crds.media_job import MediaJob, MediaJobSpec

log = logs.get("asking")

OBJECTIONS: Final = {
    Objection.NOT_A_LINK: Key.NOT_A_LINK,
    Objection.MALFORMED: Key.MALFORMED,
    Objection.PRIVATE: Key.PRIVATE,
}
STILL_WRITTEN: Final = 3.0
"""Seconds after which somebody may press again what came too early."""
KEPT: Final = 1000
"""Wishes kept for those who may ask again, and choices for those who pick."""
Kept = TypeVar("Kept")


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


class Asking:
    """Judges, makes the MediaJob, answers; whatever fails is said in private."""

    def __init__(self, following: Following, desk: Desk, rules: Rules) -> None:
        self._following = following
        self._desk = desk
        self._rules = rules
        self._cooldown = Cooldown(apart=rules.apart, per_minute=rules.per_minute)
        self._wishes: OrderedDict[int, Wish] = OrderedDict()
        self._choices: OrderedDict[int, list[str]] = OrderedDict()
        self._queues = Queues(desk.jobs, rules.queue)
        self._unanswered = 0
        """People who wait for their answer just now."""

    def serves(self, guild_id: int | None) -> bool:
        """Whether this install answers there."""
        return not self._rules.guilds or guild_id in self._rules.guilds

    # ways in ----------------------------------------------------------------------------------

    async def download(self, interaction: discord.Interaction, wish: Wish) -> bool:
        """One wish, one message: MediaJob first, then the answer, then the note of which message it is.
        False: nothing was begun, and whoever asked was told why.
        """
        to = language(str(interaction.locale))
        wish = replace(wish, url=await self._meant(interaction, wish.url))
        if await self._refused(interaction, wish, to):
            return False
        return await self._begin(interaction, names.job(interaction.id), wish, to)

    async def save(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """What a message holds: one thing at once; of several, a choice."""
        to = language(str(interaction.locale))
        found = [each.url for each in message.attachments] + links.find(message.content)
        found = list(dict.fromkeys(found))[: links.MOST]
        if not found:
            await whisper(interaction, say(to, Key.NOTHING_TO_SAVE))
        elif len(found) == 1:
            await self.download(interaction, Wish(found[0]))
        else:
            _keep(self._choices, interaction.id, found)
            await whisper(interaction, say(to, Key.PICK), view=picker(interaction.id, found, to))

    async def pick(self, interaction: discord.Interaction, number: int, chosen: list[int]) -> None:
        """Each choice its own message, sent by us: an interaction has one answer only."""
        to = language(str(interaction.locale))
        offered = self._choices.get(number)
        if offered is None:
            await whisper(interaction, say(to, Key.FORGOTTEN))
            return
        wanted = [Wish(offered[each]) for each in chosen if each < len(offered)]
        for wish in wanted:
            objection = links.judge(wish.url, self._rules.egress)
            if objection is not None:
                await whisper(interaction, say(to, OBJECTIONS[objection]))
                return
        if await self._hindered(interaction, Wish(offered[0]), to):
            return
        jobs = await self._accepted(
            interaction,
            lambda: self._make_all(interaction, wanted),
            [names.job(interaction.id, at) for at in range(1, len(wanted) + 1)],
            to,
        )
        if jobs is None:
            return
        self._choices.pop(number, None)
        await interaction.response.edit_message(
            content=say(to, Key.PICKED, count=len(jobs)), view=None
        )
        for job in jobs:
            self._following.recover(job)
        for job in jobs:
            request = wishes.request(interaction, job.name, job.spec.url)
            await self._desk.records.note(request, None, patience=PATIENCE)

    async def _make_all(
        self, interaction: discord.Interaction, wanted: list[Wish]
    ) -> list[MediaJob]:
        create = self._desk.jobs.create
        return [
            await create(names.job(interaction.id, at), wishes.spec(interaction, wish))
            for at, wish in enumerate(wanted, 1)
        ]

    async def ask_again(self, interaction: discord.Interaction, number: int) -> None:
        """The wish that could not be taken before."""
        wish = self._wishes.get(number)
        if wish is None:
            to = language(str(interaction.locale))
            await whisper(interaction, say(to, Key.FORGOTTEN))
        elif await self.download(interaction, wish):
            self._wishes.pop(number, None)

    async def take_over(
        self, interaction: discord.Interaction, job: MediaJob, spec: MediaJobSpec
    ) -> None:
        """A press begins anew in the message of a job that has ended; two presses are one. Raises
        ApiAway, Refused, Missing.
        """
        assert interaction.message is not None
        to = language(str(interaction.locale))
        if not delivered(job):  # its message is still being written
            await whisper(interaction, say(to, Key.COOLDOWN, time=texts.span(STILL_WRITTEN)))
            return
        if await self._waits(interaction, to):
            return
        await interaction.response.defer()
        held = wishes.held(interaction)
        name = names.again(job.name)
        with self._following.answering(name):
            with telemetry.span("ask again", kind=SpanKind.SERVER, job=name):
                again = await self._desk.jobs.create(name, spec)
            request = wishes.request(interaction, name, spec.url)
            await self._show_and_note(again, interaction.message.id, held, request)

    # judging ----------------------------------------------------------------------------------

    async def _meant(self, interaction: discord.Interaction, text: str) -> str:
        """A completion whose address is too long for Discord is only a number of ours."""
        number = names.recent_number(text)
        if number is None:
            return text.strip()
        found = await self._desk.records.request(number, interaction.user.id)
        return found.url if found else text

    async def _refused(self, interaction: discord.Interaction, wish: Wish, to: Language) -> bool:
        """Whether it ends here, with a sentence."""
        objection = links.judge(wish.url, self._rules.egress)
        if objection is not None:
            await whisper(interaction, say(to, OBJECTIONS[objection]))
            return True
        return await self._hindered(interaction, wish, to)

    async def _hindered(self, interaction: discord.Interaction, wish: Wish, to: Language) -> bool:
        if not wish.private and interaction.guild_id and not wishes.may_answer(interaction):
            await whisper(interaction, say(to, Key.MAY_NOT_SEND))
            return True
        most = await self._queues.most(interaction.guild_id)
        there = self._following.recent.of_guild(interaction.guild_id or 0)
        waiting = sum(job.waits for job in there)
        if most is not None and waiting >= most:
            await whisper(interaction, say(to, Key.QUEUE_FULL, count=waiting))
            return True
        return await self._waits(interaction, to)

    async def _waits(self, interaction: discord.Interaction, to: Language) -> bool:
        """Whether this person has to wait, and is told how long."""
        server = interaction.guild_id or 0
        wait = self._cooldown.take(interaction.user.id, server, time.monotonic())
        if wait:
            await whisper(interaction, say(to, Key.COOLDOWN, time=texts.span(wait)))
        return bool(wait)

    # doing ------------------------------------------------------------------------------------

    async def _begin(
        self, interaction: discord.Interaction, name: str, wish: Wish, to: Language
    ) -> bool:
        held, request = wishes.held(interaction), wishes.request(interaction, name, wish.url)
        noted = not wishes.found_without_token(interaction, wish)
        with self._following.answering(name):
            self._unanswered += 1
            try:
                with telemetry.span("ask", kind=SpanKind.SERVER, job=name):
                    made = await self._make_and_answer(
                        interaction, wish, request, held if noted else None, to
                    )
            finally:
                self._unanswered -= 1
            if made is None:
                return False
            await self._calm()
            if noted:
                await self._show(*made, held)
            else:
                await self._show_and_note(*made, held, request)
        return True

    async def _make_and_answer(
        self,
        interaction: discord.Interaction,
        wish: Wish,
        request: Request,
        held: Pass | None,
        to: Language,
    ) -> tuple[MediaJob, int | None] | None:
        """The job and its message's id, as far as we know it; None where nothing was made. What is
        `held` is written down before the answer.
        """
        reach(CrashPoint.BOT_ASKED)
        job = await self._accepted(
            interaction,
            lambda: self._make(interaction, wish, request, held),
            [request.job],
            to,
            wish,
        )
        if job is None:
            return None
        reach(CrashPoint.BOT_ACCEPTED)
        return job, await _answer(interaction, job)

    async def _accepted(
        self,
        interaction: discord.Interaction,
        make: Callable[[], Awaitable[Kept]],
        called: list[str],
        to: Language,
        wish: Wish | None = None,
    ) -> Kept | None:
        """What was made; None where nothing was, and whoever asked is told so."""
        try:
            return await make()
        except (ApiAway, Refused, Missing) as error:
            log.warning("not_accepted", extra={"error": str(error)})
            for name in called:
                self._following.disown(name)
            self._cooldown.give_back(interaction.user.id, interaction.guild_id or 0)
            again = None
            if wish is not None:
                _keep(self._wishes, interaction.id, wish)
                again = try_again(interaction.id, to)
            await whisper(interaction, say(to, Key.NOT_ACCEPTED), view=again)
            return None

    async def _make(
        self, interaction: discord.Interaction, wish: Wish, request: Request, held: Pass | None
    ) -> MediaJob:
        noting = asyncio.create_task(self._desk.records.note(request, held)) if held else None
        try:
            return await self._desk.jobs.create(request.job, wishes.spec(interaction, wish))
        finally:
            if noting is not None:
                await noting

    async def _calm(self) -> None:
        """Answers go first: what is only to be noted waits for them, a moment at most."""
        for _ in range(20):
            if not self._unanswered:
                return
            await asyncio.sleep(0.05)

    async def _show_and_note(
        self, job: MediaJob, message_id: int | None, held: Pass, request: Request
    ) -> None:
        note = self._desk.records.note(request, held, patience=PATIENCE)
        await asyncio.gather(note, self._show(job, message_id, held))

    async def _show(self, job: MediaJob, message_id: int | None, held: Pass) -> None:
        """From now on this message is the job's; where we do not know it, it is looked for."""
        if message_id is None:
            self._following.recover(job, held)
            return
        gone = False
        try:
            job = await self._desk.jobs.note_message(job, message_id)
            reach(CrashPoint.BOT_NOTED)
        except (ApiAway, Conflict, Missing, Refused) as error:
            gone = isinstance(error, Missing)  # the watch will not tell of it once more
            log.warning("message_not_noted", extra={"job": job.uid, "error": str(error)})
        self._following.follow(job, message_id, held, gone=gone)


async def _answer(interaction: discord.Interaction, job: MediaJob) -> int | None:
    """The message itself, at once; None where we do not know whether it was made."""
    where = job.spec.delivery.discord if job.spec.delivery else None
    reply = replies.waiting(job, language(where.locale if where else None))
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
    reach(CrashPoint.BOT_ANSWERED)
    return made.message_id


def _keep(kept: OrderedDict[int, Any], number: int, what: Any) -> None:
    kept[number] = what
    if len(kept) > KEPT:
        kept.popitem(last=False)
