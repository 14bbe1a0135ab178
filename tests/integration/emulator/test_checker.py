"""The check against Discord's own description finds offences that were made on purpose."""

from pathlib import Path

import aiohttp
import discord
import pytest

import openapi
from emulated import Emulated
from openapi import Checker
from trawler_sandbox.discord.hub import Exchange

MESSAGES = "/channels/1/messages"


@pytest.mark.parametrize(
    ("exchange", "said"),
    [
        (("POST", MESSAGES, {"content": "x" * 4001}, 200, None), "request: at content"),
        (("POST", MESSAGES, {"embeds": "none"}, 200, None), "request: at embeds"),
        (("GET", "/users/@me", None, 200, {"username": "no id"}), "answer 200"),
        (("GET", "/users/@me", None, 404, {"message": "no code"}), "answer 404"),
        (("GET", "/nobody/knows", None, 200, {}), "no such operation"),
    ],
)
def test_an_offence_is_found(exchange: tuple[str, str, object, int, object], said: str) -> None:
    """In requests and in answers."""
    openapi.require()
    method, path, body, status, answer = exchange
    checker = Checker()
    checker.observe(Exchange(method, path, {}, body, status, answer, by_bot=True))
    assert any(said in each for each in checker.violations), checker.violations


async def test_what_is_hidden_in_a_multipart_request_is_found_too(
    emulated: Emulated, tmp_path: Path
) -> None:
    """`payload_json` is where our files are announced."""
    openapi.require()
    form = aiohttp.FormData()
    hidden = '{"content": "x", "embeds": [{"title": 7}]}'
    form.add_field("payload_json", hidden, content_type="application/json")
    form.add_field("files[0]", b"x", filename="a.txt")
    headers = {"Authorization": f"Bot {emulated.application.bot.token}"}
    address = f"{discord.http.Route.BASE}/channels/{emulated.channel.id}/messages"
    async with (
        aiohttp.ClientSession() as session,
        session.post(address, data=form, headers=headers),
    ):
        pass
    assert any("request: at embeds/0/title" in each for each in emulated.checker.violations)
    emulated.checker.violations.clear()


def test_without_the_document_nothing_is_checked_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkout alone has no copy of it."""
    monkeypatch.setenv(openapi.VARIABLE, str(tmp_path / "nowhere.json"))
    checker = Checker()
    checker.observe(Exchange("GET", "/nobody/knows", {}, None, 200, {}, by_bot=True))
    assert [] == checker.violations
    assert "not checked" in capsys.readouterr().out
