"""Defines the slash commands and the context menu; each is a few lines that call one function. A
digest shows whether the registered commands are current.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import discord
from discord import app_commands

from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.interactions import clips, urls, visibility
from trawler_bot.interactions import subtitles as subtitle_languages
from trawler_bot.interactions.clips import BadClip
from trawler_bot.interactions.ephemeral import reply_ephemeral
from trawler_bot.interactions.localization import described, named
from trawler_bot.interactions.request import DownloadRequest
from trawler_bot.interactions.submission import RequestService
from trawler_bot.interactions.subtitles import BadLanguage
from trawler_bot.interactions.urls import BadLink
from trawler_bot.jobs import ids
from trawler_bot.jobs.index import JobSummary
from trawler_bot.presentation import listings
from trawler_bot.presentation.i18n import Key, language, say, span
from trawler_bot.services import Services
from trawler_common.kube import ApiUnavailable, NotFound, Rejected
from trawler_crds.media_job import AudioFormat, Media, MediaKind, SubtitleMode

KINDS: Final = {"video": MediaKind.VIDEO, "audio": MediaKind.AUDIO, "image": MediaKind.IMAGE}
QUALITIES: Final = ("2160", "1440", "1080", "720", "480", "360")
SOUNDS: Final = ("mp3", "m4a", "opus", "flac", "wav")
CHOICE: Final = 100
"""Maximum characters of an autocomplete choice (docs, Application Command Option Choice)."""
MINE: Final = 10


class Commands:
    """Every command of the bot, with the services that they call."""

    def __init__(
        self,
        requests: RequestService,
        tracker: JobTracker,
        services: Services,
        *,
        user_install: bool,
        rules: dict[str, object],
        reuse_seconds: float,
    ) -> None:
        self._requests = requests
        self._tracker = tracker
        self._services = services
        self._rules = rules
        self._reuse_seconds = reuse_seconds
        self._where: dict[str, Any] = {
            "allowed_contexts": app_commands.AppCommandContext(
                guild=True, dm_channel=user_install, private_channel=user_install
            ),
            "allowed_installs": app_commands.AppInstallationType(guild=True, user=user_install),
        }
        """Set explicitly: Discord's defaults have changed before."""

    def add_to(self, tree: app_commands.CommandTree[Any]) -> None:
        """Add every command of ours to a tree."""
        tree.add_command(self._download())
        tree.add_command(self._save())
        tree.add_command(self._queue())
        tree.add_command(self._jobs())
        tree.add_command(self._help())

    # /download --------------------------------------------------------------------------------

    def _download(self) -> app_commands.Command[Any, ..., None]:
        @app_commands.describe(
            url=described("url"),
            kind=described("kind"),
            quality=described("quality"),
            audio_format=described("audio-format"),
            clip=described("clip"),
            subtitles=described("subtitles"),
            burn_subtitles=described("burn-subtitles"),
            spoiler=described("spoiler"),
            private=described("private"),
        )
        @app_commands.rename(
            url=named("url"),
            kind=named("kind"),
            quality=named("quality"),
            audio_format=named("audio-format"),
            clip=named("clip"),
            subtitles=named("subtitles"),
            burn_subtitles=named("burn-subtitles"),
            spoiler=named("spoiler"),
            private=named("private"),
        )
        @app_commands.choices(
            kind=[app_commands.Choice(name=named(each, "choice"), value=each) for each in KINDS],
            quality=[app_commands.Choice(name=f"{each}p", value=each) for each in QUALITIES],
            audio_format=[app_commands.Choice(name=each, value=each) for each in SOUNDS],
        )
        async def download(
            interaction: discord.Interaction,
            url: str,
            kind: str | None = None,
            quality: str | None = None,
            audio_format: str | None = None,
            clip: str | None = None,
            subtitles: str | None = None,
            burn_subtitles: bool = False,  # noqa: FBT001, FBT002 - an option of a command
            spoiler: bool = False,  # noqa: FBT001, FBT002 - an option of a command
            private: bool = False,  # noqa: FBT001, FBT002 - as above
        ) -> None:
            to = language(str(interaction.locale))
            try:
                part = clips.parse(clip) if clip else None
                spoken = subtitle_languages.parse(subtitles) if subtitles else None
            except BadClip:
                await reply_ephemeral(interaction, say(to, Key.BAD_CLIP))
                return
            except BadLanguage:
                await reply_ephemeral(interaction, say(to, Key.BAD_SUBTITLES))
                return
            if burn_subtitles and spoken is None:
                spoken = [str(interaction.locale).partition("-")[0]]
            media = Media(
                kind=KINDS[kind] if kind else MediaKind.AUDIO if audio_format else MediaKind.AUTO,
                max_height=int(quality) if quality else None,
                audio_format=AudioFormat(audio_format.capitalize()) if audio_format else None,
                clip=part,
                subtitles=spoken,
                subtitle_mode=SubtitleMode.BURNED if burn_subtitles else SubtitleMode.FILES,
            )
            wanted = DownloadRequest(url, media, spoiler=spoiler, private=private)
            await self._requests.download(interaction, wanted)

        command: app_commands.Command[Any, ..., None] = app_commands.Command(
            name=named("download"),
            description=described("download"),
            callback=download,
            **self._where,
        )
        command.autocomplete("url")(self._complete_url)
        command.autocomplete("clip")(self._complete_clip)
        command.autocomplete("subtitles")(self._complete_subtitles)
        return command

    async def _complete_subtitles(
        self, interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        """Languages by name, the person's own first."""
        locale = str(interaction.locale)
        found = subtitle_languages.offered(current, locale, language(locale))
        return [
            app_commands.Choice(name=name[:CHOICE], value=value)
            for name, value in found
            if len(value) <= CHOICE
        ][:25]

    async def _complete_clip(
        self, interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        """The typed text if it is a part, and parts from the start time of the link."""
        link = str(getattr(interaction.namespace, "url", None) or "")
        typed = [current.strip()] if current.strip() else []
        parts = dict.fromkeys([*typed, *clips.offered(link)])
        to = language(str(interaction.locale))
        found = []
        for part in parts:
            with suppress(BadClip):
                clip = clips.parse(part)
                start, end = clips.written(clip.start_seconds), clips.written(clip.end_seconds)
                whole = clip.end_seconds == clips.END
                words = say(to, Key.CLIP_TO_END if whole else Key.CLIP_PART, start=start, end=end)
                found.append(app_commands.Choice(name=words, value=part))
        return found

    async def _complete_url(
        self, interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        """The person's own recent links; the typed text comes first if it is a link."""
        guild_id = interaction.guild_id or 0
        found = await self._services.database.recent(interaction.user.id, guild_id, current)
        known = [(each.url, each.id) for each in found] or [
            (job.link, 0)
            for job in self._tracker.index.of_person(guild_id, interaction.user.id, MINE)
            if current.lower() in job.link.lower()
        ]
        typed = current.strip()
        if _is_link(typed) and typed not in {link for link, _ in known}:
            known.insert(0, (typed, 0))
        to, viewer = language(str(interaction.locale)), visibility.viewer(interaction)
        choices = []
        for link, number in dict(known).items():
            value = link if len(link) <= CHOICE else ids.recent(number)
            if len(link) > CHOICE and not number:
                continue
            here = self._is_here(link, viewer)
            label = f"{say(to, Key.ALREADY_HERE)} · {link}" if here else link
            shown = label if len(label) <= CHOICE else label[: CHOICE - 1] + "…"
            choices.append(app_commands.Choice(name=shown, value=value))
        return choices[:25]

    def _is_here(self, link: str, viewer: visibility.Viewer) -> bool:
        """Whether files of a link were stored so recently that they would answer at once, for a job
        that this person may know of.
        """
        try:
            url = urls.normalise(link).url
        except BadLink:
            return False
        since = time.time() - self._reuse_seconds
        return any(
            job.stored > since and visibility.may_know(viewer, job)
            for job in self._tracker.index.stored(url)
        )

    # context menu -----------------------------------------------------------------------------

    def _save(self) -> app_commands.ContextMenu:
        async def save(interaction: discord.Interaction, message: discord.Message) -> None:
            await self._requests.save(interaction, message)

        return app_commands.ContextMenu(name=named("save"), callback=save, **self._where)

    # /queue -----------------------------------------------------------------------------------

    def _queue(self) -> app_commands.Group:
        group = app_commands.Group(
            name=named("queue"), description=described("queue"), **self._where
        )

        async def list_(interaction: discord.Interaction) -> None:
            to = language(str(interaction.locale))
            rows = [(job, self._tracker.place(job.uid)) for job in self._active(interaction)]
            await reply_ephemeral(interaction, listings.queue(rows, to))

        @app_commands.describe(job=described("job"))
        @app_commands.rename(job=named("job"))
        async def cancel(interaction: discord.Interaction, job: str) -> None:
            await self._cancel(interaction, job)

        group.command(name=named("list"), description=described("list"))(list_)
        command: app_commands.Command[Any, ..., None] = group.command(
            name=named("cancel"), description=described("cancel")
        )(cancel)
        command.autocomplete("job")(self._complete_job)
        return group

    def _active(self, interaction: discord.Interaction) -> list[JobSummary]:
        """Waiting and running jobs here that this person may know of."""
        viewer = visibility.viewer(interaction)
        there = self._tracker.index.of_guild(interaction.guild_id or 0)
        return [job for job in there if visibility.may_know(viewer, job)]

    async def _complete_job(
        self, interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        viewer = visibility.viewer(interaction)
        return [
            app_commands.Choice(name=listings.label(job)[:CHOICE], value=job.name)
            for job in self._active(interaction)
            if visibility.may_manage(viewer, job) and current.lower() in listings.label(job).lower()
        ][:25]

    async def _cancel(self, interaction: discord.Interaction, name: str) -> None:
        to = language(str(interaction.locale))
        found = next((job for job in self._active(interaction) if job.name == name), None)
        if found is None:
            await reply_ephemeral(interaction, say(to, Key.NO_SUCH_JOB))
            return
        if not visibility.may_manage(visibility.viewer(interaction), found):
            await reply_ephemeral(interaction, say(to, Key.NOT_YOURS))
            return
        try:
            await self._services.jobs.cancel(name)
        except NotFound:
            await reply_ephemeral(interaction, say(to, Key.NO_SUCH_JOB))
        except (ApiUnavailable, Rejected):
            await reply_ephemeral(interaction, say(to, Key.NOT_NOW))
        else:
            await reply_ephemeral(interaction, say(to, Key.CANCELLING))

    # /jobs, /help -----------------------------------------------------------------------------

    def _jobs(self) -> app_commands.Group:
        group = app_commands.Group(name=named("jobs"), description=described("jobs"), **self._where)

        async def mine(interaction: discord.Interaction) -> None:
            to = language(str(interaction.locale))
            guild_id = interaction.guild_id or 0
            found = self._tracker.index.of_person(guild_id, interaction.user.id, MINE)
            await reply_ephemeral(interaction, listings.mine(found, to, now=time.time()))

        group.command(name=named("mine"), description=described("mine"))(mine)
        return group

    def _help(self) -> app_commands.Command[Any, ..., None]:
        async def help_(interaction: discord.Interaction) -> None:
            to = language(str(interaction.locale))
            await reply_ephemeral(interaction, say(to, Key.HELP, **self._rules))

        return app_commands.Command(
            name=named("help"), description=described("help"), callback=help_, **self._where
        )


def _is_link(text: str) -> bool:
    """Whether the typed text is already a whole link."""
    try:
        urls.normalise(text)
    except BadLink:
        return False
    return "://" in text


def rules(apart: float, per_minute: int) -> dict[str, object]:
    """The values of the cooldown for `/help`."""
    return {"apart": span(apart), "per_minute": per_minute}


def digest(commands: Sequence[Any]) -> str:
    """A digest that changes with every change of a command, in any of its languages."""
    text = json.dumps(list(commands), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
