"""What the emulator begins with: a guild, two channels, three people and a bot."""

import itertools
from dataclasses import dataclass
from typing import Final

from trawler_sandbox.discord.permissions import USUAL
from trawler_sandbox.discord.world import Application, Channel, Guild, User, World

FIRST: Final = 1_060_000_000_000_000_000
"""Of the ids; as old as a server of some years."""


@dataclass(frozen=True)
class Harbour:
    """The names by which tests, the demo and the page know it."""

    guild: Guild
    general: Channel
    media: Channel
    ada: User
    ben: User
    cleo: User
    application: Application


def seed_guild(world: World, *, bot: str = "trawler", token: str | None = None) -> Harbour:
    """Ada owns the guild; Ben, Cleo and the bot are members with the usual permissions. Who starts
    it anew meets the same ids: a bot that stayed connected goes on.
    """
    number = itertools.count(FIRST)
    ada, ben, cleo = (world.add_user(name, number=next(number)) for name in ("ada", "ben", "cleo"))
    application = world.add_application(bot, token=token, number=next(number))
    guild = world.add_guild("Harbour", ada, everyone=USUAL, number=next(number))
    for user in (ben, cleo, application.bot):
        world.join(guild, user)
    general, media = (
        world.add_channel(guild, name, number=next(number)) for name in ("general", "media")
    )
    return Harbour(guild, general, media, ada, ben, cleo, application)
