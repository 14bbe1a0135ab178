"""Application commands: registered by a bot, looked up for a user. Pure except for new ids."""

import re
from typing import Any, Final

from trawler_sandbox.discord import errors
from trawler_sandbox.discord.world import Application, World

CHAT: Final = 1
USER: Final = 2
MESSAGE: Final = 3
_NAME: Final = re.compile(r"^[-_'\w\d]{1,32}$")
SUBCOMMAND: Final = 1
DESCRIPTION: Final = 100
CHOICES: Final = 25
OPTIONS: Final = 25
MOST: Final = {CHAT: 100, USER: 15, MESSAGE: 15}

Json = dict[str, Any]


def register(
    world: World, application: Application, guild_id: int | None, wanted: list[Json]
) -> list[Json]:
    """Replace all registered commands. Raises DiscordError for what Discord rejects."""
    names = [(each.get("type", CHAT), each.get("name")) for each in wanted]
    if len(set(names)) < len(names):
        raise errors.invalid_form(
            "name",
            "APPLICATION_COMMANDS_DUPLICATE_NAME",
            "Application command names must be unique",
        )
    known = {(c["type"], c["name"]): c for c in application.commands.get(guild_id, [])}
    found = [_one(world, application, guild_id, each, known) for each in wanted]
    for kind, most in MOST.items():
        if sum(each["type"] == kind for each in found) > most:
            raise errors.DiscordError(400, 30032, "Maximum number of application commands reached")
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
        raise errors.invalid_form(
            "name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid"
        )
    about, options = str(wanted.get("description") or ""), wanted.get("options") or []
    if kind == CHAT and not 1 <= len(about) <= DESCRIPTION:
        raise errors.invalid_form(
            "description", "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {DESCRIPTION} in length."
        )
    needed = [bool(option.get("required")) for option in options if "options" not in option]
    if len(options) > OPTIONS or needed != sorted(needed, reverse=True):
        raise errors.invalid_form(
            "options",
            "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
            "Required options must be placed before non-required options",
        )
    for option in options:
        _check(option)
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


def _check(option: Json) -> None:
    """Raises DiscordError for an option that Discord rejects (docs: Application Command Option
    Structure).
    """
    name, about = str(option.get("name", "")), str(option.get("description", ""))
    if not _NAME.match(name) or name != name.lower():
        raise errors.invalid_form(
            "options.name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid"
        )
    if not 1 <= len(about) <= DESCRIPTION:
        raise errors.invalid_form(
            "options.description",
            "BASE_TYPE_BAD_LENGTH",
            f"Must be between 1 and {DESCRIPTION} in length.",
        )
    choices = option.get("choices") or []
    if len(choices) > CHOICES or any(not _fits(choice) for choice in choices):
        raise errors.invalid_form(
            "options.choices",
            "BASE_TYPE_BAD_LENGTH",
            "Must be 25 or fewer, each of 100 characters at most.",
        )
    for each in option.get("options") or []:
        _check(each)


def _fits(choice: Json) -> bool:
    return 1 <= len(str(choice.get("name", ""))) <= 100 and len(str(choice.get("value", ""))) <= 100


def check_choices(choices: list[Json]) -> None:
    """Raises DiscordError for autocomplete choices that Discord rejects."""
    if len(choices) > CHOICES or any(not _fits(choice) for choice in choices):
        raise errors.invalid_form(
            "data.choices",
            "BASE_TYPE_BAD_LENGTH",
            "Must be 25 or fewer, each of 100 characters at most.",
        )


def check_given(command: Json, data: Json) -> None:
    """Raises DiscordError if a user omits a required option or gives a value that is not a choice:
    Discord's client would not let them.
    """
    options, given = command.get("options") or [], data.get("options") or []
    for part in given:
        if part.get("type") == SUBCOMMAND:
            options = next(
                (o.get("options") or [] for o in options if o["name"] == part["name"]), []
            )
            given = part.get("options") or []
    values = {each["name"]: each.get("value") for each in given}
    for option in options:
        value = values.get(option["name"])
        if option.get("required") and value in (None, ""):
            raise errors.invalid_form(
                "data.options", "BASE_TYPE_REQUIRED", "This field is required"
            )
        choices = [choice["value"] for choice in option.get("choices") or []]
        if value is not None and choices and value not in choices:
            raise errors.invalid_form(
                "data.options", "BASE_TYPE_CHOICES", "Value must be one of the choices."
            )


def find(application: Application, guild_id: int | None, data: Json) -> Json:
    """Find the command that a user invokes, by id or, without one, by name. Raises DiscordError."""
    for scope in (guild_id, None):
        for each in application.commands.get(scope, []):
            same_name = "id" not in data and each["name"] == data.get("name")
            if each["id"] == str(data.get("id")) or same_name:
                return each
    raise errors.unknown("Application Command")
