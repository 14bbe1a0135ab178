"""Who may know of a job: over kinds of channels, overwrites, roles, membership and privacy."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import discord
from hypothesis import given, settings
from hypothesis import strategies as st

from trawler_bot.interactions.visibility import may_know, may_manage, viewer
from trawler_bot.jobs.index import JobSummary, summarize
from trawler_crds.media_job import DiscordDelivery, MediaJob, MediaJobSpec, ObjectMeta
from trawler_sandbox.discord import permissions, serializers
from trawler_sandbox.discord import world as emulated
from trawler_sandbox.discord.permissions import USUAL, Permission
from trawler_sandbox.discord.seed import seed_guild
from trawler_sandbox.discord.world import (
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    TEXT,
    VOICE,
    Channel,
    Overwrite,
    Role,
    World,
)

BITS = [
    Permission.VIEW_CHANNEL,
    Permission.CONNECT,
    Permission.MANAGE_MESSAGES,
    Permission.MANAGE_THREADS,
    Permission.ADMINISTRATOR,
]
IN_CHANNELS = st.sets(st.sampled_from(BITS[:-1])).map(lambda bits: sum(int(bit) for bit in bits))
MASKS = st.sets(st.sampled_from(BITS)).map(lambda bits: sum(int(bit) for bit in bits))


@dataclass
class Scene:
    """A server, one channel in it, somebody who looks, and whoever asked."""

    kind: int
    everyone: int
    role: int
    overwrites: list[tuple[str, int, int]]
    member_of_thread: bool
    private: bool
    mine: bool
    same_server: bool
    asked_there: bool


SCENES = st.builds(
    Scene,
    kind=st.sampled_from([TEXT, VOICE, PUBLIC_THREAD, PRIVATE_THREAD]),
    everyone=MASKS.map(
        lambda mask: USUAL & ~int(Permission.VIEW_CHANNEL | Permission.CONNECT) | mask
    ),
    role=MASKS,
    overwrites=st.lists(
        st.tuples(st.sampled_from(["everyone", "role", "member"]), IN_CHANNELS, IN_CHANNELS),
        max_size=3,
    ),
    member_of_thread=st.booleans(),
    private=st.booleans(),
    mine=st.booleans(),
    same_server=st.booleans(),
    asked_there=st.booleans(),
)


def built(scene: Scene) -> tuple[Any, Channel, Any]:
    """The emulator's guild, the channel of the job, and the member who looks."""
    there = seed_guild(World(lambda: 2e9))
    guild, member = there.guild, there.guild.members[there.ben.id]
    guild.roles[guild.id].permissions = scene.everyone & ~int(Permission.ADMINISTRATOR)
    guild.roles[5] = Role(5, "crew", scene.role)
    member.roles = [5]
    who = {"everyone": (guild.id, 0), "role": (5, 0), "member": (member.user.id, 1)}
    threaded = scene.kind in emulated.THREADS
    parent = there.general
    place = Channel(
        77,
        "place",
        scene.kind,
        guild.id,
        parent_id=parent.id if threaded else None,
        owner_id=there.ada.id if threaded else None,
        members={member.user.id} if scene.member_of_thread else set(),
    )
    guild.channels[place.id] = place
    seen = {}
    for name, allow, deny in scene.overwrites:
        seen[name] = Overwrite(*who[name], allow=allow, deny=deny & ~allow)
    (parent if threaded else place).overwrites = list(seen.values())
    return guild, place, member


def told(scene: Scene, guild: Any, place: Channel, member: Any) -> JobSummary:
    owner = member.user.id if scene.mine else 9
    where = DiscordDelivery(
        guild_id=str(guild.id if scene.same_server else 6),
        channel_id=str(place.id),
        requester_id=str(owner),
        private=scene.private,
    )
    job = MediaJob(metadata=ObjectMeta(name="d-1", uid="u"), spec=MediaJobSpec(url="https://a/"))
    return summarize(job, where)


def as_seen_by_the_library(guild: Any, place: Channel, member: Any, at: int) -> Any:
    """The interaction of somebody who looks, with discord.py's own guild, channel and member."""
    client = discord.Client(intents=discord.Intents(guilds=True))
    state = client._connection
    data: Any = serializers.guild_create(guild)
    known = discord.Guild(data=data, state=state)
    state._add_guild(known)
    person: Any = serializers.member(member)
    mine = discord.Member(data=person, guild=known, state=state)
    channel = guild.channels[at]
    may = permissions.of(guild, channel, member)
    return SimpleNamespace(
        user=mine,
        guild=known,
        guild_id=known.id,
        channel_id=at,
        permissions=discord.Permissions(may),
    )


@settings(deadline=None, max_examples=400)
@given(SCENES)
def test_nobody_is_told_of_what_discord_does_not_show_them(scene: Scene) -> None:
    """Whoever is told of a job sees its channel in Discord, or asked for it; private ones are one's
    own. And who sees an open channel is told.
    """
    guild, place, member = built(scene)
    at = (
        place
        if scene.asked_there
        else next(c for c in guild.channels.values() if c.name == "media")
    )
    sees_here = bool(permissions.of(guild, at, member) & Permission.VIEW_CHANNEL)
    if not sees_here:
        return  # nobody asks from where they are not
    job = told(scene, guild, place, member)
    asking = viewer(
        cast("discord.Interaction", as_seen_by_the_library(guild, place, member, at.id))
    )
    has = permissions.of(guild, place, member)
    shown = bool(has & Permission.VIEW_CHANNEL) and scene.same_server and not scene.private
    knows = may_know(asking, job)
    if scene.mine:
        assert knows
    elif knows:
        assert shown
    elif shown:
        assert scene.kind == PRIVATE_THREAD, "membership there is not known to us"
    if may_manage(asking, job) and not scene.mine:
        assert knows
        assert has & Permission.MANAGE_MESSAGES


def test_in_a_direct_message_one_knows_of_ones_own() -> None:
    """And of nobody else's, though both are in no server."""
    where = DiscordDelivery(channel_id="5", requester_id="9")
    job = summarize(MediaJob(spec=MediaJobSpec(url="https://a/")), where)
    for user, knows in ((9, True), (8, False)):
        asking = SimpleNamespace(
            user=SimpleNamespace(id=user),
            guild=None,
            guild_id=None,
            channel_id=5,
            permissions=discord.Permissions.all(),
        )
        assert knows is may_know(viewer(cast("discord.Interaction", asking)), job)
