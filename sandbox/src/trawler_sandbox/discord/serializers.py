"""Serialize state as Discord does: JSON with ids as strings, by its OpenAPI description. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from trawler_sandbox.discord.world import (
    DM,
    EPHEMERAL,
    FORUM,
    PRIVATE_THREAD,
    VOICE,
    Application,
    Attachment,
    Channel,
    Guild,
    Member,
    Message,
    Role,
    User,
)

Json = dict[str, Any]
Address = Callable[[Attachment], str]
"""Returns the URL of an attachment."""


def stamp(at: float) -> str:
    """Format Unix seconds as Discord does."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def user(of: User) -> Json:
    return {
        "id": str(of.id),
        "username": of.name,
        "avatar": None,
        "discriminator": "0",
        "public_flags": 0,
        "flags": 0,
        "bot": of.bot,
        "global_name": None if of.bot else of.name.title(),
        "primary_guild": None,
    }


def me(of: User) -> Json:
    return {**user(of), "mfa_enabled": True, "locale": of.locale, "verified": True, "email": None}


def member(of: Member) -> Json:
    return {
        "user": user(of.user),
        "nick": None,
        "avatar": None,
        "banner": None,
        "roles": [str(role) for role in of.roles],
        "joined_at": stamp(of.joined),
        "premium_since": None,
        "communication_disabled_until": None,
        "pending": False,
        "mute": False,
        "deaf": False,
        "flags": 0,
    }


def role(of: Role) -> Json:
    return {
        "id": str(of.id),
        "name": of.name,
        "permissions": str(of.permissions),
        "position": 0,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": False,
        "mentionable": False,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }


def channel(of: Channel) -> Json:
    """A guild channel, a thread or a DM."""
    found: Json = {
        "id": str(of.id),
        "type": of.kind,
        "flags": 0,
        "last_message_id": str(of.last_message_id) if of.last_message_id else None,
    }
    if of.kind == DM:
        return {**found, "recipients": [user(each) for each in of.recipients if not each.bot]}
    found |= {"guild_id": str(of.guild_id), "name": of.name}
    if of.is_thread:
        return {
            **found,
            "parent_id": str(of.parent_id),
            "owner_id": str(of.owner_id),
            "message_count": len(of.messages),
            "total_message_sent": len(of.messages),
            "member_count": max(1, len(of.members)),
            "rate_limit_per_user": of.slow_seconds,
            "thread_metadata": {
                "archived": of.archived,
                "archive_timestamp": stamp(0),
                "auto_archive_duration": 1440,
                "locked": of.locked,
                **({"invitable": False} if of.kind == PRIVATE_THREAD else {}),
            },
        }
    overwrites = [
        {"id": str(o.id), "type": o.kind, "allow": str(o.allow), "deny": str(o.deny)}
        for o in of.overwrites
    ]
    found |= {
        "position": 0,
        "permission_overwrites": overwrites,
        "nsfw": of.nsfw,
        "topic": None,
        "parent_id": None,
        "rate_limit_per_user": of.slow_seconds,
    }
    if of.kind == VOICE:
        found |= {"bitrate": 64_000, "user_limit": 0, "rtc_region": None}
    if of.kind == FORUM:
        found |= {"available_tags": [], "default_reaction_emoji": None, "default_sort_order": None}
    return found


def guild(of: Guild) -> Json:
    """A guild, as in the answer of `GET /guilds/{id}`."""
    absent = dict.fromkeys(
        [
            "icon",
            "description",
            "home_header",
            "splash",
            "discovery_splash",
            "banner",
            "application_id",
            "afk_channel_id",
            "system_channel_id",
            "widget_channel_id",
            "vanity_url_code",
            "rules_channel_id",
            "safety_alerts_channel_id",
            "public_updates_channel_id",
            "incidents_data",
            "max_presences",
        ]
    )
    return {
        **absent,
        "id": str(of.id),
        "name": of.name,
        "owner_id": str(of.owner_id),
        "features": [],
        "region": "deprecated",
        "afk_timeout": 300,
        "system_channel_flags": 0,
        "widget_enabled": False,
        "verification_level": 0,
        "roles": [role(each) for each in of.roles.values()],
        "default_message_notifications": 0,
        "mfa_level": 0,
        "explicit_content_filter": 0,
        "max_members": 500_000,
        "max_stage_video_channel_users": 50,
        "max_video_channel_users": 25,
        "premium_tier": of.premium_tier,
        "premium_subscription_count": 0,
        "preferred_locale": of.locale,
        "premium_progress_bar_enabled": False,
        "nsfw": False,
        "nsfw_level": 0,
        "emojis": [],
        "stickers": [],
    }


def guild_create(of: Guild, sees: Callable[[Channel], bool] = lambda _: True) -> Json:
    """The GUILD_CREATE event: everything that a client needs to know of a guild, and of the threads
    that it `sees`.
    """
    threads = [channel(each) for each in of.channels.values() if each.is_thread and sees(each)]
    return {
        **guild(of),
        "joined_at": stamp(0),
        "large": False,
        "unavailable": False,
        "member_count": len(of.members),
        "members": [member(each) for each in of.members.values()],
        "channels": [channel(each) for each in of.channels.values() if not each.is_thread],
        "threads": [each for each in threads if not each["thread_metadata"]["archived"]],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def attachment(of: Attachment, address: Address) -> Json:
    url = address(of)
    found: Json = {
        "id": str(of.id),
        "filename": of.filename,
        "size": of.size,
        "url": url,
        "proxy_url": url,
        "content_type": of.content_type,
    }
    if of.description is not None:
        found["description"] = of.description
    return found


def message(of: Message, address: Address, *, viewer: int, blank: bool = False) -> Json:
    """A message as one user receives it. `blank`: the user is a bot without the message content
    intent.
    """
    found: Json = {
        "id": str(of.id),
        "channel_id": str(of.channel.id),
        "type": 20 if of.metadata and of.metadata["type"] == 2 else 19 if of.reference else 0,
        "author": user(of.author),
        "content": "" if blank else of.content,
        "timestamp": stamp(of.created),
        "edited_timestamp": stamp(of.edited) if of.edited is not None else None,
        "tts": False,
        "pinned": False,
        "mention_everyone": of.rings_all,
        "mentions": [user(each) for each in of.mentions],
        "mention_roles": [],
        "attachments": [] if blank else [attachment(each, address) for each in of.attachments],
        "embeds": [] if blank else [_embed(each) for each in of.embeds],
        "components": [] if blank else _numbered(of.components),
        "flags": of.flags | (EPHEMERAL if of.for_user is not None else 0),
    }
    if of.nonce is not None:
        found["nonce"] = of.nonce
    if of.metadata is not None:
        found["interaction_metadata"] = of.metadata
    if of.application_id is not None:
        found |= {"application_id": str(of.application_id), "webhook_id": str(of.application_id)}
    if of.thread is not None:
        found["thread"] = channel(of.thread)
    if of.reactions:
        found["reactions"] = [_reaction(e, by, viewer) for e, by in of.reactions.items() if by]
    if of.snapshot is not None:
        found["message_reference"] = {
            "type": 1,
            "message_id": str(of.snapshot.id),
            "channel_id": str(of.snapshot.channel.id),
        }
        found["message_snapshots"] = [] if blank else [{"message": _snapshot(of.snapshot, address)}]
    if of.reference is not None:
        found["message_reference"] = {
            "type": 0,
            "message_id": str(of.reference.id),
            "channel_id": str(of.reference.channel.id),
        }
        found["referenced_message"] = _basic(message(of.reference, address, viewer=viewer))
    return found


def _snapshot(of: Message, address: Address) -> Json:
    """The fields of a forwarded message that its snapshot keeps (docs: Message Snapshot Object)."""
    whole = message(of, address, viewer=0)
    kept = ("type", "content", "timestamp", "edited_timestamp", "attachments", "embeds", "flags")
    more = ("mentions", "mention_roles", "components")
    return {key: whole[key] for key in (*kept, *more)}


def _basic(of: Json) -> Json:
    return {k: v for k, v in of.items() if k not in {"referenced_message", "thread", "reactions"}}


def _reaction(emoji: str, by: list[int], viewer: int) -> Json:
    return {
        "emoji": {"id": None, "name": emoji},
        "count": len(by),
        "count_details": {"burst": 0, "normal": len(by)},
        "burst_colors": [],
        "me_burst": False,
        "me": viewer in by,
    }


def _embed(of: Json) -> Json:
    return {"type": "rich", **{k: v for k, v in of.items() if k != "flags"}}


def _numbered(components: list[Json]) -> list[Json]:
    """Give each component without an id a number in reading order, as Discord does."""
    count = 0

    def number(of: Json) -> Json:
        nonlocal count
        count += 1
        found = {"id": count, **of}
        if of["type"] == 3:
            found = {"min_values": 1, "max_values": 1, **found}
        if "components" in of:
            found["components"] = [number(each) for each in of["components"]]
        return found

    return [number(each) for each in components]


def application(of: Application, owner: User) -> Json:
    """An application, as in the answer of `GET /applications/@me`."""
    return {
        "id": str(of.id),
        "name": of.bot.name,
        "icon": None,
        "description": "",
        "type": None,
        "verify_key": "0" * 64,
        "flags": 0,
        "flags_new": "0",
        "redirect_uris": [],
        "interactions_endpoint_url": None,
        "role_connections_verification_url": None,
        "owner": user(owner),
        "approximate_guild_count": 0,
        "approximate_user_install_count": 0,
        "approximate_user_authorization_count": 0,
        "explicit_content_filter": 0,
        "team": None,
        "eligible_oauth2_scopes": [],
        "bot": user(of.bot),
        "bot_public": True,
        "bot_require_code_grant": False,
        "rpc_origins": [],
        "summary": "",
    }


def quoted(filename: str) -> str:
    """A file name, quoted as the last part of a URL."""
    return quote(filename, safe="")
