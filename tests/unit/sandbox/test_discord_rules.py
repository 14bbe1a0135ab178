"""The pure rules of the Discord emulator."""

from typing import Any

import pytest

from trawler_sandbox.discord import errors, permissions
from trawler_sandbox.discord.buckets import Bucket
from trawler_sandbox.discord.drafts import Draft
from trawler_sandbox.discord.permissions import USUAL, Permission
from trawler_sandbox.discord.seed import seed_guild
from trawler_sandbox.discord.world import PUBLIC_THREAD, Channel, Overwrite, Role, World

SEND, VIEW = Permission.SEND_MESSAGES, Permission.VIEW_CHANNEL


def test_a_member_overrides_roles_and_roles_override_everyone() -> None:
    """In that order, denial before allowance within a step."""
    there = seed_guild(World(lambda: 2e9))
    guild, channel, member = there.guild, there.general, there.guild.members[there.ben.id]
    guild.roles[5] = Role(5, "crew", 0)
    member.roles = [5]

    def may() -> int:
        return permissions.of(guild, channel, member)

    assert may() == USUAL
    channel.overwrites = [Overwrite(guild.id, 0, deny=SEND)]
    assert not may() & SEND
    channel.overwrites.append(Overwrite(5, 0, allow=SEND))
    assert may() & SEND
    channel.overwrites.append(Overwrite(member.user.id, 1, deny=SEND | VIEW))
    assert not may() & (SEND | VIEW)
    thread = Channel(9, "t", PUBLIC_THREAD, guild.id, parent_id=channel.id)
    assert not permissions.of(guild, thread, member) & VIEW
    guild.roles[5].permissions = Permission.ADMINISTRATOR
    assert may() == permissions.ALL
    assert permissions.of(guild, channel, guild.members[there.ada.id]) == permissions.ALL


def test_ids_tell_the_time_and_only_grow() -> None:
    """Even where the clock stands still, or goes back."""
    now = 2e9
    world = World(lambda: now)
    ids = [world.new_id() for _ in range(5000)]
    now -= 60
    ids.append(world.new_id())
    assert sorted(set(ids)) == ids
    assert 2e9 == pytest.approx((ids[0] >> 22) / 1000 + 1_420_070_400)


def test_a_bucket_is_full_and_then_empty_again() -> None:
    """From its first request on, not by the clock's seconds."""
    bucket = Bucket(2, 5.0)
    assert [True, True, False] == [bucket.take(at) for at in (100.0, 104.0, 104.9)]
    assert 0 == bucket.remaining()
    assert 0.1 == pytest.approx(bucket.resets_in(104.9))
    assert bucket.take(105.0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": 7}, "content"),
        ({"embeds": {}}, "embeds"),
        ({"content": "x" * 2001}, "content"),
        ({"nonce": "n" * 26}, "nonce"),
        ({"components": [{"type": 1, "components": []}] * 6}, "components"),
        ({"components": [{"components": [{"custom_id": "c" * 101}]}]}, "components"),
        ({"components": [{"components": [{"custom_id": "a"}, {"custom_id": "a"}]}]}, "components"),
        ({"attachments": [{"id": n} for n in range(11)]}, "attachments"),
    ],
)
def test_a_draft_that_breaks_a_rule_says_which_field(body: dict[str, Any], field: str) -> None:
    """50035 with the path of the field."""
    with pytest.raises(errors.DiscordError) as refused:
        Draft.parse(body, [])
    assert refused.value.code == 50035
    assert [field] == list(refused.value.errors or {})
