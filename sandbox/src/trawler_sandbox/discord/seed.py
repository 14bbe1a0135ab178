"""The emulator's initial state: a guild, two channels, three users and a bot."""

import itertools
from dataclasses import dataclass
from typing import Final

from trawler_sandbox.discord.permissions import USUAL
from trawler_sandbox.discord.world import Application, Channel, Guild, User, World

FIRST: Final = 1_060_000_000_000_000_000
"""The first id. Its timestamp is that of a guild some years old."""


@dataclass(frozen=True)
class Harbour:
    """The initial state, by the names that tests, the demo and the page use."""

    guild: Guild
    general: Channel
    media: Channel
    ada: User
    ben: User
    cleo: User
    application: Application


def seed_guild(world: World, *, bot: str = "trawler", token: str | None = None) -> Harbour:
    """Create the initial guild. Ada owns it; Ben, Cleo and the bot are members with the usual
    permissions. The ids are the same after a restart, so that a bot that stayed connected can
    continue.
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
