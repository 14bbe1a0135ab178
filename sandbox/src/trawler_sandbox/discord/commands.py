"""Application commands: registered by a bot, looked up for a person. Pure but for ids."""

import re
from typing import Any, Final

from trawler_sandbox.discord import refusals
from trawler_sandbox.discord.world import Application, World

CHAT: Final = 1
USER: Final = 2
MESSAGE: Final = 3
_NAME: Final = re.compile(r"^[-_'\w\d]{1,32}$")
MOST: Final = {CHAT: 100, USER: 15, MESSAGE: 15}

Json = dict[str, Any]


def register(
    world: World, application: Application, guild_id: int | None, wanted: list[Json]
) -> list[Json]:
    """Put these in place of all that there were. Raises Refusal for what Discord does not take."""
    known = {(c["type"], c["name"]): c for c in application.commands.get(guild_id, [])}
    found = [_one(world, application, guild_id, each, known) for each in wanted]
    for kind, most in MOST.items():
        if sum(each["type"] == kind for each in found) > most:
            raise refusals.Refusal(400, 30032, "Maximum number of application commands reached")
    application.commands[guild_id] = found
    return found


def _one(
    world: World,
    application: Application,
    guild_id: int | None,
    wanted: Json,
    known: dict[tuple[int, str], Json],
) -> Json:
    kind, name = wanted.get("type", CHAT), str(wanted.get("name", ""))
    if not 1 <= len(name) <= 32 or (
        kind == CHAT and (not _NAME.match(name) or name != name.lower())
    ):
        raise refusals.invalid_form(
            "name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid"
        )
    before = known.get((kind, name))
    found: Json = {
        **{key: value for key, value in wanted.items() if value is not None},
        "id": before["id"] if before else str(world.new_id()),
        "application_id": str(application.id),
        "version": str(world.new_id()),
        "default_member_permissions": wanted.get("default_member_permissions"),
        "type": kind,
        "description": wanted.get("description", "") if kind == CHAT else "",
        "nsfw": bool(wanted.get("nsfw", False)),
    }
    return found | ({"guild_id": str(guild_id)} if guild_id is not None else {})


def find(application: Application, guild_id: int | None, data: Json) -> Json:
    """The command that a person means, by id or else by name. Raises Refusal."""
    for scope in (guild_id, None):
        for each in application.commands.get(scope, []):
            same_name = "id" not in data and each["name"] == data.get("name")
            if each["id"] == str(data.get("id")) or same_name:
                return each
    raise refusals.unknown("Application Command")
