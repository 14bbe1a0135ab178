"""What one can type and right-click: each a few lines that call one function. What is registered is
compared by a digest.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, Final, Literal

import discord
from discord import app_commands

from trawler_bot import links, lists, names
from trawler_bot.asking import Asking
from trawler_bot.desk import Desk
from trawler_bot.following import Following
from trawler_bot.recent import Seen
from trawler_bot.texts import Key, language, say, span
from trawler_bot.whispers import whisper
from trawler_bot.wishes import Wish
from trawler_common.kube import ApiAway, Missing, Refused
from trawler_crds.media_job import AudioFormat, Media, MediaKind

KINDS: Final = {"video": MediaKind.VIDEO, "audio": MediaKind.AUDIO, "image": MediaKind.IMAGE}
Kind = Literal["video", "audio", "image"]
Quality = Literal["2160", "1440", "1080", "720", "480", "360"]
Sound = Literal["mp3", "m4a", "opus", "flac", "wav"]
CHOICE: Final = 100
"""Characters of a completion (docs, Application Command Option Choice)."""
MINE: Final = 10


class Commands:
    """All of them, over what they ask."""

    def __init__(
        self,
        asking: Asking,
        following: Following,
        desk: Desk,
        *,
        user_install: bool,
        rules: dict[str, object],
        reuse_seconds: float,
    ) -> None:
        self._asking = asking
        self._following = following
        self._desk = desk
        self._rules = rules
        self._reuse_seconds = reuse_seconds
        self._where: dict[str, Any] = {
            "allowed_contexts": app_commands.AppCommandContext(
                guild=True, dm_channel=user_install, private_channel=user_install
            ),
            "allowed_installs": app_commands.AppInstallationType(guild=True, user=user_install),
        }
        """Said explicitly: what Discord assumes has changed before."""

    def add_to(self, tree: app_commands.CommandTree[Any]) -> None:
        """Every command of ours."""
        tree.add_command(self._download())
        tree.add_command(self._save())
        tree.add_command(self._queue())
        tree.add_command(self._jobs())
        tree.add_command(self._help())

    # /download --------------------------------------------------------------------------------

    def _download(self) -> app_commands.Command[Any, ..., None]:
        @app_commands.describe(
            url="The address of a page or a file",
            kind="What to look for",
            quality="Greatest height of the picture",
            audio_format="Sound alone, in this format",
            spoiler="Hide it until it is clicked",
            private="Only you see it",
        )
        @app_commands.rename(audio_format="audio-format")
        async def download(
            interaction: discord.Interaction,
            url: str,
            kind: Kind | None = None,
            quality: Quality | None = None,
            audio_format: Sound | None = None,
            spoiler: bool = False,  # noqa: FBT001, FBT002 - an option of a command
            private: bool = False,  # noqa: FBT001, FBT002 - as above
        ) -> None:
            media = Media(
                kind=KINDS[kind] if kind else MediaKind.AUDIO if audio_format else MediaKind.AUTO,
                max_height=int(quality) if quality else None,
                audio_format=AudioFormat(audio_format.capitalize()) if audio_format else None,
            )
            wish = Wish(url, media, spoiler=spoiler, private=private)
            await self._asking.download(interaction, wish)

        command: app_commands.Command[Any, ..., None] = app_commands.Command(
            name="download",
            description="Fetch the media of a link into this channel",
            callback=download,
            **self._where,
        )
        command.autocomplete("url")(self._complete_url)
        return command

    async def _complete_url(
        self, interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        """One's own recent links; what is typed comes first if it is one."""
        guild_id = interaction.guild_id or 0
        found = await self._desk.records.recent(interaction.user.id, guild_id, current)
        known = [(each.url, each.id) for each in found] or [
            (job.url, 0)
            for job in self._following.recent.of_person(guild_id, interaction.user.id, MINE)
            if current.lower() in job.url.lower()
        ]
        if links.find(current) == [current] and current not in {url for url, _ in known}:
            known.insert(0, (current, 0))
        to = language(str(interaction.locale))
        choices = []
        for url, number in dict(known).items():
            value = url if len(url) <= CHOICE else names.recent(number)
            if len(url) > CHOICE and not number:
                continue
            here = self._following.recent.here(url, now=time.time(), within=self._reuse_seconds)
            label = f"{say(to, Key.ALREADY_HERE)} · {url}" if here else url
            shown = label if len(label) <= CHOICE else label[: CHOICE - 1] + "…"
            choices.append(app_commands.Choice(name=shown, value=value))
        return choices[:25]

    # right click ------------------------------------------------------------------------------

    def _save(self) -> app_commands.ContextMenu:
        async def save(interaction: discord.Interaction, message: discord.Message) -> None:
            await self._asking.save(interaction, message)

        return app_commands.ContextMenu(name="Save media", callback=save, **self._where)

    # /queue -----------------------------------------------------------------------------------

    def _queue(self) -> app_commands.Group:
        group = app_commands.Group(
            name="queue", description="What is waiting and running here", **self._where
        )

        async def list_(interaction: discord.Interaction) -> None:
            to = language(str(interaction.locale))
            jobs = self._active(interaction)
            rows = [(job, self._following.place(job.uid)) for job in jobs]
            await whisper(interaction, lists.queue(rows, to))

        @app_commands.describe(job="Which one; your own, or any for who may manage messages")
        async def cancel(interaction: discord.Interaction, job: str) -> None:
            await self._cancel(interaction, job)

        group.command(name="list", description="What is waiting and running in this server")(list_)
        command: app_commands.Command[Any, ..., None] = group.command(
            name="cancel", description="Cancel a request"
        )(cancel)
        command.autocomplete("job")(self._complete_job)
        return group

    def _active(self, interaction: discord.Interaction) -> list[Seen]:
        """Of this server, as far as this person may know of it: one's own, and what is public in a
        channel that he sees. Elsewhere than in a server only one's own.
        """
        mine = interaction.user.id
        jobs = self._following.recent.of_guild(interaction.guild_id or 0)
        return [
            job
            for job in jobs
            if job.requester_id == mine
            or (not job.private and _rights(interaction, job).view_channel)
        ]

    async def _complete_job(
        self, interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        mine = interaction.user.id
        return [
            app_commands.Choice(name=lists.label(job)[:CHOICE], value=job.name)
            for job in self._active(interaction)
            if (job.requester_id == mine or _rights(interaction, job).manage_messages)
            and current.lower() in lists.label(job).lower()
        ][:25]

    async def _cancel(self, interaction: discord.Interaction, name: str) -> None:
        to = language(str(interaction.locale))
        found = next((job for job in self._active(interaction) if job.name == name), None)
        if found is None:
            await whisper(interaction, say(to, Key.NO_SUCH_JOB))
            return
        mine = found.requester_id == interaction.user.id
        if not mine and not _rights(interaction, found).manage_messages:
            await whisper(interaction, say(to, Key.NOT_YOURS))
            return
        try:
            await self._desk.jobs.cancel(name)
        except Missing:
            await whisper(interaction, say(to, Key.NO_SUCH_JOB))
        except (ApiAway, Refused):
            await whisper(interaction, say(to, Key.NOT_NOW))
        else:
            await whisper(interaction, say(to, Key.CANCELLING))

    # /jobs, /help -----------------------------------------------------------------------------

    def _jobs(self) -> app_commands.Group:
        group = app_commands.Group(name="jobs", description="Your requests", **self._where)

        async def mine(interaction: discord.Interaction) -> None:
            to = language(str(interaction.locale))
            guild_id = interaction.guild_id or 0
            found = self._following.recent.of_person(guild_id, interaction.user.id, MINE)
            await whisper(interaction, lists.mine(found, to, now=time.time()))

        group.command(name="mine", description="What you asked for last in this server")(mine)
        return group

    def _help(self) -> app_commands.Command[Any, ..., None]:
        async def help_(interaction: discord.Interaction) -> None:
            to = language(str(interaction.locale))
            await whisper(interaction, say(to, Key.HELP, **self._rules))

        return app_commands.Command(
            name="help",
            description="What this bot does and how to ask it",
            callback=help_,
            **self._where,
        )


def _rights(interaction: discord.Interaction, job: Seen) -> discord.Permissions:
    """What a person may do in the channel of a job, as far as we see it."""
    if job.channel_id == interaction.channel_id:
        return interaction.permissions
    guild = interaction.guild
    channel = guild.get_channel_or_thread(job.channel_id) if guild is not None else None
    if channel is None or not isinstance(interaction.user, discord.Member):
        return discord.Permissions.none()
    return channel.permissions_for(interaction.user)


def rules(apart: float, per_minute: int) -> dict[str, object]:
    """What `/help` says of the cooldown."""
    return {"apart": span(apart), "per_minute": per_minute}


def digest(commands: Sequence[Any]) -> str:
    """Changes whenever a command does."""
    text = json.dumps(list(commands), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
