"""The client: commands and presses in, one function called, an answer out."""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, Final, Literal

import discord
from discord import app_commands

from trawler_bot import fitting, links, names, replies, texts
from trawler_bot.cooldown import Cooldown
from trawler_bot.following import Following
from trawler_bot.jobs import Jobs
from trawler_bot.links import Objection
from trawler_bot.presses import button_of, may
from trawler_bot.replies import Act
from trawler_bot.teller import view
from trawler_bot.texts import Key, language, say
from trawler_common import logs
from trawler_common.crashing import CrashPoint, reach
from trawler_common.egress import AllowList
from trawler_common.kube import ApiAway, Conflict, Missing, Refused
from trawler_crds.media_job import (
    Delivery,
    DiscordDelivery,
    Media,
    MediaJob,
    MediaJobSpec,
    MediaKind,
    Reuse,
)

log = logs.get("bot")

OBJECTIONS: Final = {
    Objection.NOT_A_LINK: Key.NOT_A_LINK,
    Objection.MALFORMED: Key.MALFORMED,
    Objection.PRIVATE: Key.PRIVATE,
}
KINDS: Final = {"video": MediaKind.VIDEO, "audio": MediaKind.AUDIO, "image": MediaKind.IMAGE}
Kind = Literal["video", "audio", "image"]
Quality = Literal["1080", "720", "480", "360"]


class Bot(discord.AutoShardedClient):
    """No privileged intent: commands and presses need none."""

    def __init__(self, jobs: Jobs, allowed: AllowList, *, apart: float, per_minute: int) -> None:
        super().__init__(intents=discord.Intents(guilds=True), max_messages=None)
        self.tree = app_commands.CommandTree(self)
        self._jobs = jobs
        self._allowed = allowed
        self._cooldown = Cooldown(apart=apart, per_minute=per_minute)
        self._rules = {"apart": texts.span(apart), "per_minute": per_minute}
        self.following: Following | None = None
        """Set before the client is started."""

    async def setup_hook(self) -> None:
        """Before the gateway: what buttons do, and our commands where they changed."""
        self.add_dynamic_items(button_of(self._press))
        self.tree.add_command(_download(self))
        self.tree.add_command(_help(self))
        assert self.application_id is not None
        known = await self.http.get_global_commands(self.application_id)
        wanted = [each.to_dict(self.tree) for each in self.tree.get_commands()]
        if _digest(wanted) != _digest(known):
            await self.tree.sync()
            log.info("commands_registered")

    async def on_ready(self) -> None:
        """Again after each new session; harmless."""
        assert self.following is not None
        self.following.connected.set()

    # asking -----------------------------------------------------------------------------------

    async def download(
        self, interaction: discord.Interaction, url: str, media: Media, *, spoiler: bool
    ) -> None:
        """MediaJob first, then the answer, then the note of which message it is."""
        to = language(str(interaction.locale))
        objection = links.judge(url, self._allowed)
        if objection is not None:
            await _whisper(interaction, say(to, OBJECTIONS[objection]))
            return
        if not await self._may_ask(interaction, to):
            return
        spec = MediaJobSpec(
            url=url,
            queue=names.queue(interaction.guild_id) if interaction.guild_id else "default",
            media=media,
            delivery=Delivery(
                discord=DiscordDelivery(
                    guild_id=str(interaction.guild_id) if interaction.guild_id else None,
                    channel_id=str(interaction.channel_id),
                    interaction_id=str(interaction.id),
                    requester_id=str(interaction.user.id),
                    spoiler=spoiler,
                    locale=str(interaction.guild_locale or interaction.locale),
                )
            ),
        )
        await self._begin(interaction, names.job(interaction.id), spec, to)

    async def _may_ask(self, interaction: discord.Interaction, to: texts.Language) -> bool:
        """Whether this person's cooldown is over; who has to wait is told how long."""
        server = interaction.guild_id or 0
        wait = self._cooldown.take(interaction.user.id, server, time.monotonic())
        if wait:
            await _whisper(interaction, say(to, Key.COOLDOWN, time=texts.span(wait)))
        return not wait

    async def help(self, interaction: discord.Interaction) -> None:
        """What one can do, for one person."""
        to = language(str(interaction.locale))
        await _whisper(interaction, say(to, Key.HELP, **self._rules))

    async def _begin(
        self, interaction: discord.Interaction, name: str, spec: MediaJobSpec, to: texts.Language
    ) -> None:
        assert self.following is not None
        self.following.answering.add(name)
        try:
            try:
                reach(CrashPoint.BOT_ASKED)
                job = await self._jobs.create(name, spec)
                reach(CrashPoint.BOT_ACCEPTED)
            except (ApiAway, Refused, Missing) as error:
                log.warning("not_accepted", extra={"error": str(error)})
                self.following.disown(name)
                await _whisper(interaction, say(to, Key.NOT_ACCEPTED))
                return
            message_id = await self._answer(interaction, job)
            if message_id is not None:
                await self._show(job, message_id)
            else:
                self.following.recover(job)
        finally:
            self.following.answering.discard(name)

    async def _answer(self, interaction: discord.Interaction, job: MediaJob) -> int | None:
        """The message itself, at once; None where we do not know whether it was made."""
        discord_spec = job.spec.delivery.discord if job.spec.delivery else None
        reply = replies.waiting(job, language(discord_spec.locale if discord_spec else None))
        try:
            made = await interaction.response.send_message(
                reply.content,
                view=view(reply) or discord.utils.MISSING,
                allowed_mentions=discord.AllowedMentions.none(),
            )
        except (discord.HTTPException, OSError) as error:
            log.warning("answer_lost", extra={"job": job.uid, "error": repr(error)})
            return None
        reach(CrashPoint.BOT_ANSWERED)
        return made.message_id

    async def _show(self, job: MediaJob, message_id: int) -> None:
        """From now on this message is the job's."""
        assert self.following is not None
        try:
            job = await self._jobs.note_message(job, message_id)
            reach(CrashPoint.BOT_NOTED)
        except (ApiAway, Conflict, Missing) as error:
            log.warning("message_not_noted", extra={"job": job.uid, "error": str(error)})
        self.following.follow(job, message_id)

    # presses ----------------------------------------------------------------------------------

    async def _press(self, interaction: discord.Interaction, act: Act, name: str) -> None:
        to = language(str(interaction.locale))
        try:
            job = await self._jobs.get(name)
        except Missing:
            await _whisper(interaction, say(to, Key.FORGOTTEN))
            return
        except ApiAway:
            await _whisper(interaction, say(to, Key.NOT_ACCEPTED))
            return
        delivery = job.spec.delivery.discord if job.spec.delivery else None
        if delivery is None or not await may(interaction, delivery.requester_id):
            return
        try:
            await self._act(interaction, act, job)
        except (ApiAway, Refused, Missing, Conflict) as error:
            log.warning("press_failed", extra={"job": job.uid, "error": str(error)})
            await _whisper(interaction, say(to, Key.NOT_ACCEPTED))

    async def _act(self, interaction: discord.Interaction, act: Act, job: MediaJob) -> None:
        message = interaction.message
        assert message is not None
        if act is Act.CANCEL:
            await self._jobs.cancel(job.name)
            await interaction.response.defer()
        elif act is Act.REMOVE:
            await interaction.response.defer()
            await message.delete()
        else:
            if not await self._may_ask(interaction, language(str(interaction.locale))):
                return
            reuse = Reuse.NEVER if act is Act.RETRY else job.spec.reuse
            spec = job.spec.model_copy(
                update={"reuse": reuse, "cancel": False, "media": _changed(job, act)}
            )
            again = await self._jobs.create(names.again(job.name), spec)
            await interaction.response.defer()
            await self._show(again, message.id)


def _changed(job: MediaJob, act: Act) -> Media:
    media = job.spec.media
    if act is Act.AUDIO:
        return media.model_copy(update={"kind": MediaKind.AUDIO, "max_height": None})
    if act is Act.SMALLER:
        heights = [file.height for file in job.status.files or () if file.height]
        shown = min(filter(None, (media.max_height, *heights)), default=None)
        return media.model_copy(update={"max_height": fitting.smaller(shown) or media.max_height})
    return media


def _download(bot: Bot) -> app_commands.Command[Any, ..., None]:
    @app_commands.describe(
        url="The link of a page or file",
        kind="What to look for",
        quality="Greatest height of the picture",
        spoiler="Hide it until it is clicked",
    )
    async def download(
        interaction: discord.Interaction,
        url: str,
        kind: Kind | None = None,
        quality: Quality | None = None,
        spoiler: bool = False,  # noqa: FBT001, FBT002 - an option of a command
    ) -> None:
        media = Media(
            kind=KINDS[kind] if kind else MediaKind.AUTO,
            max_height=int(quality) if quality else None,
        )
        await bot.download(interaction, url.strip(), media, spoiler=spoiler)

    return _command("download", "Fetch the media of a link into this channel", download)


def _help(bot: Bot) -> app_commands.Command[Any, ..., None]:
    async def help_(interaction: discord.Interaction) -> None:
        await bot.help(interaction)

    return _command("help", "What this bot does and how to ask it", help_)


def _command(name: str, description: str, does: Any) -> app_commands.Command[Any, ..., None]:
    """For servers only, said explicitly: what Discord assumes has changed before."""
    return app_commands.Command(
        name=name,
        description=description,
        callback=does,
        allowed_contexts=app_commands.AppCommandContext(guild=True),
        allowed_installs=app_commands.AppInstallationType(guild=True),
    )


async def _whisper(interaction: discord.Interaction, words: str) -> None:
    """An answer for one person; nothing where it cannot be given any more."""
    try:
        if interaction.response.is_done():
            await interaction.followup.send(words, ephemeral=True)
        else:
            await interaction.response.send_message(words, ephemeral=True)
    except (discord.HTTPException, OSError) as error:
        log.info("whisper_lost", extra={"error": repr(error)})


def _digest(commands: Sequence[Any]) -> str:
    """What matters of commands, whatever Discord adds: their names, options and where they are."""
    plain = [
        {
            "name": each["name"],
            "description": each.get("description", ""),
            "type": int(each.get("type") or 1),
            "options": _options(each.get("options") or []),
            "contexts": sorted(each.get("contexts") or []),
        }
        for each in commands
    ]
    plain.sort(key=lambda each: (each["type"], each["name"]))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _options(options: list[Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": each["name"],
            "description": each.get("description", ""),
            "type": int(each["type"]),
            "required": bool(each.get("required")),
            "choices": [[c["name"], c["value"]] for c in each.get("choices") or []],
        }
        for each in options
    ]
