"""From a request to the message that shows its job: resolve, validate, create, respond, track.

Each way in (a command, a right click, a menu, a button) is one method. A step that declines raises
`Declined`, and the person is told why.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Any, Final

import discord
from opentelemetry.trace import SpanKind

from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.interactions import request as requests
from trawler_bot.interactions import rights
from trawler_bot.interactions.creation import JobCreator
from trawler_bot.interactions.declined import Declined, explained
from trawler_bot.interactions.ephemeral import edit_reply, reply_ephemeral
from trawler_bot.interactions.request import DownloadRequest
from trawler_bot.interactions.resolution import LinkResolver, links_of
from trawler_bot.interactions.response import Responder, respond
from trawler_bot.interactions.urls import Link
from trawler_bot.interactions.validation import RequestValidator, Rules
from trawler_bot.jobs import ids
from trawler_bot.jobs.client import delivered, is_shown
from trawler_bot.presentation.i18n import Key, Language, language, say
from trawler_bot.presentation.rendering import MOST_AT_ONCE
from trawler_bot.presentation.views import picker, try_again
from trawler_bot.services import Services
from trawler_common import logs, telemetry
from trawler_common.errors import Permanent, Transient
from trawler_common.failpoints import Failpoint, hit
from trawler_crds.media_job import DeliveryStatus, MediaJob, MediaJobSpec

log = logs.get("submission")

KEPT: Final = 1000
"""Requests kept for those who may ask again, and choices for those who pick."""
FURTHER: Final = 10
"""Further tries of one message that ended unseen, behind which a press still begins another."""


class RequestService:
    """Everything that a person can ask for."""

    def __init__(self, tracker: JobTracker, services: Services, rules: Rules) -> None:
        self._tracker = tracker
        self._services = services
        self._resolver = LinkResolver(services.database, rules.egress)
        self._validator = RequestValidator(tracker, services.jobs, rules)
        self._creator = JobCreator(tracker, services, shrink=rules.shrink)
        self._responder = Responder(tracker, services)
        self._requests: OrderedDict[int, DownloadRequest] = OrderedDict()
        self._choices: OrderedDict[int, list[Link]] = OrderedDict()

    def serves(self, guild_id: int | None) -> bool:
        """Whether this install answers in a server."""
        return self._validator.serves(guild_id)

    # ways in ----------------------------------------------------------------------------------

    async def download(self, interaction: discord.Interaction, wanted: DownloadRequest) -> None:
        """`/download`: one link, one message."""
        async with explained(interaction):
            await self._download(interaction, wanted)

    async def ask_again(self, interaction: discord.Interaction, number: int) -> None:
        """The button below a request that could not be accepted."""
        async with explained(interaction):
            wanted = self._requests.get(number)
            if wanted is None:
                raise Declined(say(language(str(interaction.locale)), Key.EXPIRED))
            await self._download(interaction, wanted)
            self._requests.pop(number, None)

    async def save(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """The right click: a single link is downloaded, several are offered as a menu."""
        to = language(str(interaction.locale))
        found = links_of(message)
        async with explained(interaction):
            if not found:
                raise Declined(say(to, Key.NOTHING_TO_SAVE))
            if len(found) == 1:
                await self._save_one(interaction, found[0], to)
                return
            _keep(self._choices, interaction.id, found)
            most = 1 if rights.is_external(interaction) else len(found)
            shown = picker(interaction.id, [each.written for each in found], to, most=most)
            await reply_ephemeral(interaction, say(to, Key.PICK), view=shown)

    async def pick(self, interaction: discord.Interaction, number: int, chosen: list[int]) -> None:
        """The menu of `save`: a message of its own for each choice, since an interaction has only
        one answer.
        """
        to = language(str(interaction.locale))
        async with explained(interaction):
            offered = self._choices.get(number)
            if offered is None:
                raise Declined(say(to, Key.EXPIRED))
            wanted = [offered[each] for each in chosen if each < len(offered)]
            for link in wanted:
                self._resolver.require_public(link, to)
            if not wanted:
                return
            private = rights.is_forced_private(interaction)
            await self._validator.require_admission(interaction, to, private=private, by_press=True)
            if self._choices.pop(number, None) is None:
                return  # an earlier press is being answered
            if rights.is_external(interaction):
                # the answer itself is the only message that we may write
                one = DownloadRequest(wanted[0].url, private=private)
                await self._start(interaction, wanted[0], one, to)
            else:
                await self._start_picked(interaction, number, offered, wanted, to)

    async def pick_from(
        self, interaction: discord.Interaction, job: MediaJob, chosen: list[int]
    ) -> None:
        """The menu of a playlist: each choice as the playlist was asked for and in a message of its
        own. The menu stays.
        """
        to = language(str(interaction.locale))
        where = job.spec.delivery.discord if job.spec.delivery else None
        playlist = job.status.playlist
        entries = playlist.entries if playlist is not None else []
        places = [at for at in chosen[:MOST_AT_ONCE] if at < len(entries)]
        listed = {at: self._resolver.listed(entries[at].url) for at in places}
        wanted = {at: link for at, link in listed.items() if link is not None}
        async with explained(interaction):
            if where is None or not places:
                raise Declined(say(to, Key.EXPIRED))
            if not wanted:
                raise Declined(say(to, Key.PRIVATE_ADDRESS))
            private = where.private or rights.is_forced_private(interaction)
            await self._validator.require_admission(interaction, to, private=private, by_press=True)
            like = DownloadRequest("", job.spec.media, spoiler=where.spoiler, private=private)
            if private or rights.is_external(interaction):
                # the answer is the only message that this person alone sees, or that we may write
                await self._start(interaction, next(iter(wanted.values())), like, to)
                return
            await reply_ephemeral(interaction, say(to, Key.PICKING, count=len(wanted)))
            names = [ids.entry(job.name, at) for at in wanted]
            links = list(wanted.values())
            jobs = await self._creator.create_all(interaction, links, like, names=names)
            await edit_reply(interaction, _picked(len(jobs), len(places), to))
            await self._responder.follow_all(interaction, jobs)

    async def take_over(
        self, interaction: discord.Interaction, job: MediaJob, spec: MediaJobSpec
    ) -> None:
        """A button below a finished job: a further try in the same message; two presses are one.
        Raises ApiUnavailable, Rejected, NotFound.
        """
        assert interaction.message is not None
        to = language(str(interaction.locale))
        async with explained(interaction):
            if not delivered(job):  # its message is still being written
                raise Declined(say(to, Key.STILL_WORKING))
            where = spec.delivery.discord if spec.delivery else None
            private = bool(where and where.private)
            self._validator.require_rights(interaction, to, private=private)
            self._validator.require_cooldown(interaction, to)
            await interaction.response.defer()
            name = job.name
            for _ in range(FURTHER):
                name = ids.again(name)
                if not await self._try_again(interaction, name, job, spec):
                    return
            raise Declined(say(to, Key.NOT_NOW))

    # steps ------------------------------------------------------------------------------------

    async def _download(self, interaction: discord.Interaction, wanted: DownloadRequest) -> None:
        to = language(str(interaction.locale))
        if rights.is_forced_private(interaction):
            wanted = replace(wanted, private=True)
        link = await self._resolver.typed(wanted.text, interaction.user.id, to)
        await self._validator.require_admission(interaction, to, private=wanted.private)
        await self._start(interaction, link, wanted, to)

    async def _save_one(self, interaction: discord.Interaction, link: Link, to: Language) -> None:
        self._resolver.require_public(link, to)
        private = rights.is_forced_private(interaction)
        await self._validator.require_admission(interaction, to, private=private, by_press=True)
        await self._start(interaction, link, DownloadRequest(link.url, private=private), to)

    async def _start(
        self, interaction: discord.Interaction, link: Link, wanted: DownloadRequest, to: Language
    ) -> None:
        """Create the MediaJob, answer with its message, and record which message that is. Raises
        Declined.
        """
        name = ids.job(interaction.id)
        token = requests.token(interaction)
        asked = requests.request(interaction, name, link.written)
        spec = self._creator.spec(interaction, link, wanted)
        noted = not requests.found_without_token(interaction, wanted)
        with self._responder.answering(name):
            try:
                with (
                    self._responder.awaited(),
                    telemetry.span("ask", kind=SpanKind.SERVER, job=name),
                ):
                    hit(Failpoint.BOT_ASKED)
                    job = await self._creator.create(asked, spec, token if noted else None)
                    hit(Failpoint.BOT_ACCEPTED)
                    shown = await respond(interaction, job)
            except (Transient, Permanent) as error:
                raise self._not_accepted(interaction, name, wanted, to, error) from error
            await self._responder.calm()
            if noted:
                await self._responder.show(job, shown, token)
            else:
                await self._responder.show_and_note(job, shown, token, asked)

    def _not_accepted(
        self,
        interaction: discord.Interaction,
        name: str,
        wanted: DownloadRequest,
        to: Language,
        error: Exception,
    ) -> Declined:
        """No job was created; one that was created all the same is cancelled."""
        log.warning("not_accepted", extra={"error": str(error)})
        self._tracker.disown(name)
        self._validator.give_back(interaction)
        _keep(self._requests, interaction.id, wanted)
        return Declined(say(to, Key.NOT_ACCEPTED), view=try_again(interaction.id, to))

    async def _start_picked(
        self,
        interaction: discord.Interaction,
        number: int,
        offered: list[Link],
        wanted: list[Link],
        to: Language,
    ) -> None:
        """Answer first, create all jobs, then say how many there are and offer the others again."""
        try:
            await interaction.response.edit_message(
                content=say(to, Key.PICKING, count=len(wanted)), view=None
            )
        except discord.HTTPException:
            _keep(self._choices, number, offered)  # the menu is still there
            raise
        jobs = await self._creator.create_all(interaction, wanted, DownloadRequest(""))
        left = [link for link in wanted if link not in [made for _, made in jobs]]
        again = None
        if left:
            _keep(self._choices, number, left)
            again = picker(number, [each.written for each in left], to, most=len(left))
        await edit_reply(interaction, _picked(len(jobs), len(wanted), to), view=again)
        await self._responder.follow_all(interaction, jobs)

    async def _try_again(
        self, interaction: discord.Interaction, name: str, job: MediaJob, spec: MediaJobSpec
    ) -> bool:
        """One further try by its name. True: it is over, and its message never told of it, so that
        another has to begin. Raises Declined, ApiUnavailable, Rejected, NotFound.
        """
        assert interaction.message is not None
        with self._tracker.answering(name):
            try:
                with telemetry.span("ask again", kind=SpanKind.SERVER, job=name):
                    again = await self._services.jobs.create(name, spec)
            except (Transient, Permanent):
                self._validator.give_back(interaction)
                raise
            if delivered(again) and not is_shown(again):
                return True
            if again.spec.media != spec.media:  # another button was pressed before
                raise Declined(say(language(str(interaction.locale)), Key.STILL_WORKING))
            if again.status.delivery is None:
                await self._show_again(interaction, again, job)
            return False  # else an earlier press began it, and its message is being written

    async def _show_again(
        self, interaction: discord.Interaction, again: MediaJob, job: MediaJob
    ) -> None:
        """The message of a finished job shows the further try from now on."""
        assert interaction.message is not None
        where = again.spec.delivery.discord if again.spec.delivery else None
        link = (where.link if where is not None else None) or again.spec.url
        shown = (job.status.delivery or DeliveryStatus()).model_copy(
            update={"message_id": str(interaction.message.id), "omitted": None, "time": None}
        )
        asked = requests.request(interaction, again.name, link)
        await self._responder.show_and_note(again, shown, requests.token(interaction), asked)


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
