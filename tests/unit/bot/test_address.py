"""Where Discord may be."""

import discord
import pytest

from trawler_bot import address
from trawler_bot.jobs import ids as names


@pytest.fixture(autouse=True)
def discord_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord.http.Route, "BASE", discord.http.Route.BASE)
    gateway = discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", gateway)
    monkeypatch.setattr(discord.Asset, "BASE", discord.Asset.BASE)


def test_without_an_address_it_is_the_real_one() -> None:
    """Nothing is touched."""
    before = (discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY)
    address.point(api="", gateway="", cdn="")
    after = (discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY)
    assert before == after
    assert before[0].startswith("https://discord.com/")


@pytest.mark.parametrize(
    ("api", "safe"),
    [
        ("http://127.0.0.1:8091/api/v10", True),
        ("http://[::1]:8091/api/v10", True),
        ("http://discord:8091/api/v10", True),
        ("http://discord.trawler.svc.cluster.local/api/v10", True),
        ("https://proxy.example/api/v10", True),
        ("http://proxy.example/api/v10", False),
        ("http://93.184.216.34/api/v10", False),
        ("ftp://127.0.0.1.example/", False),
    ],
)
def test_a_token_never_goes_in_plain_text_over_a_network(api: str, *, safe: bool) -> None:
    """But on loopback and inside the cluster."""
    if safe:
        address.point(api=api, gateway="", cdn="")
        assert api == discord.http.Route.BASE
    else:
        with pytest.raises(ValueError, match="plain text"):
            address.point(api=api, gateway="", cdn="")


def test_each_press_on_a_message_has_one_job_that_follows() -> None:
    """And the one after that another."""
    assert ("d-1-r1", "d-1-r2", "d-1-2-r10") == (
        names.again("d-1"),
        names.again("d-1-r1"),
        names.again("d-1-2-r9"),
    )
