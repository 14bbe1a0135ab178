"""What people write as links, and in which language they are answered."""

import secrets
from typing import Any
from urllib.parse import quote

import pytest

from bot_process import ended, link
from emulated import Emulated, Person
from stack import Stack

pytestmark = pytest.mark.timeout(240)


def private(message: dict[str, Any]) -> str:
    assert message["flags"] & 64, message
    return str(message["content"])


@pytest.mark.parametrize("shape", ["brackets", "scheme", "letters", "comma", "sentence"])
@pytest.mark.usefixtures("bot")
async def test_an_ordinary_link_is_taken(
    stack: Stack, ben: Person, emulated: Emulated, shape: str
) -> None:
    """Typed, and by right click; shown as it was written."""
    plain = link(stack)
    letters = f"{stack.address}/video/\u0432\u0438\u0434\u0435\u043e-{secrets.token_hex(4)}.mp4"
    typed, url, shown = {
        "brackets": (f"<{plain}>", plain, plain),
        "scheme": (plain.replace("http", "HTTP", 1), plain, plain),
        "letters": (letters, quote(letters, safe=":/"), letters),
        "comma": (f"{plain},", plain, plain),
        "sentence": (f"look at this: {plain}", plain, plain),
    }[shape]
    await ben.types("download", url=typed)
    first = await ben.hears("MESSAGE_CREATE")
    done = await ended(ben, first["id"])
    assert 1 == len(done["attachments"])
    assert f"<{shown}>" in done["content"]
    (job,) = stack.jobs().values()
    assert url == job.spec.url
    said = await ben.says(f"Have a look: {typed}")
    await ben.right_clicks(said["id"], "Save media")
    saved = await ben.hears("MESSAGE_CREATE", at_least=3)
    assert 1 == len((await ended(ben, saved["id"]))["attachments"])


@pytest.mark.usefixtures("bot")
async def test_a_link_that_cannot_be_taken_is_told_why(ben: Person) -> None:
    """The very thing that is wrong."""
    odd = {
        "https://user:secret@example.com/x": "user name or password",
        f"https://example.com/{'x' * 2100}": "2120 characters long",
        "https://example..com/": "looks broken",
        "javascript:alert(1)": "doesn't look like a link",
    }
    for number, (typed, words) in enumerate(odd.items(), 1):
        await ben.types("download", url=typed)
        assert words in private(await ben.hears("MESSAGE_CREATE", at_least=number))
    said = await ben.says("http://10.0.0.1/x.mp4")
    await ben.right_clicks(said["id"], "Save media")
    refused = await ben.hears("MESSAGE_CREATE", at_least=len(odd) + 2)
    assert "private network" in private(refused)


@pytest.mark.usefixtures("bot")
async def test_a_forwarded_message_offers_what_it_held(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Its link and its file; and whoever looks at the results sees who asked."""
    there = emulated.discord.world.add_channel(emulated.guild, "elsewhere")
    await ben.types("download", at=there, url=link(stack))
    first = await ben.hears("MESSAGE_CREATE")
    await ended(ben, first["id"])
    original = there.messages[int(first["id"])]
    original.content = f"{link(stack)} and a file"
    forwarded = emulated.discord.messages.forward(emulated.ben, emulated.channel, original)
    await ben.right_clicks(forwarded.id, "Save media")
    picker = await ben.hears("MESSAGE_CREATE", at_least=3)
    chosen = picker["components"][0]["components"][0]
    assert 2 == len(chosen["options"])
    await ben.chooses(picker["id"], chosen["custom_id"], "1")
    made = await ben.hears("MESSAGE_CREATE", at_least=4)
    done = await ended(ben, made["id"])
    assert 1 == len(done["attachments"])
    assert f"Requested by <@{ben.user.id}>" in done["content"]
    assert [] == done["mentions"]
    update = [b for n, b in ben.heard if n == "MESSAGE_UPDATE" and b["id"] == picker["id"]][-1]
    assert "Started 1 download." in update["content"]


@pytest.mark.usefixtures("bot")
async def test_whoever_asks_is_answered_in_their_language(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """A German person in an English server; its commands have German names too."""
    emulated.ben.locale = "de"
    await ben.types("download", url=link(stack, 300_000, 100_000))
    first = await ben.hears("MESSAGE_CREATE")
    assert "Wartet auf den Start" in first["content"]
    done = await ended(ben, first["id"])
    names = [each["label"] for row in done["components"] for each in row["components"]]
    assert ["Wiederholen", "Audio", "Entfernen"] == names
    (commands,) = emulated.application.commands.values()
    named = {each["name"]: each.get("name_localizations", {}).get("de") for each in commands}
    assert {
        "download": "herunterladen",
        "Save media": "Medien speichern",
        "queue": "warteschlange",
        "jobs": "anfragen",
        "help": "hilfe",
    } == named
    options = {each["name"]: each for each in commands[0]["options"]}
    assert "link" == options["url"]["name_localizations"]["de"]
    assert "Nur du siehst die Antwort" == options["private"]["description_localizations"]["de"]
    choices = {each["value"]: each for each in options["kind"]["choices"]}
    assert "Bilder" == choices["image"]["name_localizations"]["de"]
