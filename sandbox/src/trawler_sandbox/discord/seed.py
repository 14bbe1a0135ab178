"""What the emulator begins with: a guild, two channels, three people and a bot."""

from dataclasses import dataclass

from trawler_sandbox.discord.permissions import USUAL
from trawler_sandbox.discord.world import Application, Channel, Guild, User, World


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


def harbour(world: World, *, bot: str = "trawler", token: str | None = None) -> Harbour:
    """Ada owns the guild; Ben, Cleo and the bot are members with the usual permissions."""
    ada, ben, cleo = (world.add_user(name) for name in ("ada", "ben", "cleo"))
    application = world.add_application(bot, token=token)
    guild = world.add_guild("Harbour", ada, everyone=USUAL)
    for user in (ben, cleo, application.bot):
        world.join(guild, user)
    general, media = (world.add_channel(guild, name) for name in ("general", "media"))
    return Harbour(guild, general, media, ada, ben, cleo, application)
