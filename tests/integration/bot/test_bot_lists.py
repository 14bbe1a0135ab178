"""A link to many things, and subtitles: what `/download` answers, and what can be chosen."""

from typing import Any

import pytest

from bot_process import button, ended
from emulated import Emulated, Person
from stack import Stack

pytestmark = pytest.mark.timeout(240)


def private(message: dict[str, Any]) -> str:
    """The words of an answer that only one person sees."""
    assert message["flags"] & 64, message
    return str(message["content"])


@pytest.mark.usefixtures("bot")
async def test_of_a_playlist_the_first_or_some_are_chosen_and_the_list_stays(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    await ben.types("download", url=f"{stack.address}/feed/show?count=30", spoiler=True)
    listed = await ben.hears("MESSAGE_CREATE")
    shown = await ended(ben, listed["id"])
    assert "a list with 30 entries" in shown["content"]
    assert "**Channel show**" in shown["content"]
    menu = shown["components"][0]["components"][0]
    assert 25 == len(menu["options"])
    assert "Part 1 of show" == menu["options"][0]["label"]
    assert 5 == menu["max_values"]
    assert not shown["attachments"]

    await ben.presses(listed["id"], button(shown, "First one"))
    assert "1" in private(await ben.hears("MESSAGE_CREATE", at_least=2))
    first = await ben.hears("MESSAGE_CREATE", at_least=3)
    (file,) = (await ended(ben, first["id"]))["attachments"]
    assert "SPOILER_" in file["filename"]
    assert "show-1" in file["filename"]

    await ben.chooses(listed["id"], menu["custom_id"], "2", "4")
    await stack.until(lambda: 4 == len(stack.jobs()), what="two more jobs")
    names = []
    for number in (5, 6):
        made = await ben.hears("MESSAGE_CREATE", at_least=number)
        names += [each["filename"] for each in (await ended(ben, made["id"]))["attachments"]]
    assert ["show-3", "show-5"] == sorted(name.rpartition("_")[2][:6] for name in names)
    message = emulated.channel.messages[int(listed["id"])]
    assert message.components  # one may choose once more


@pytest.mark.usefixtures("bot")
async def test_a_private_list_stays_private_and_is_nobody_elses(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    await ben.types("download", url=f"{stack.address}/feed/mine?count=12", private=True)
    listed = await ben.hears("MESSAGE_CREATE")
    shown = await ended(ben, listed["id"])
    assert shown["flags"] & 64
    menu = shown["components"][0]["components"][0]
    assert 1 == menu["max_values"]
    await ben.chooses(listed["id"], menu["custom_id"], "11")
    made = await ben.hears("MESSAGE_CREATE", at_least=2)
    done = await ended(ben, made["id"])
    assert done["flags"] & 64
    assert 1 == len(done["attachments"])


@pytest.mark.usefixtures("bot")
async def test_somebody_elses_list_is_not_pressed(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    await ben.types("download", url=f"{stack.address}/feed/his?count=12")
    listed = await ben.hears("MESSAGE_CREATE")
    shown = await ended(ben, listed["id"])
    cleo = next(u for u in emulated.discord.world.users.values() if u.name == "cleo")
    async with emulated.person(cleo) as other:
        await other.presses(listed["id"], button(shown, "First one"))
        assert "only" in private(await other.hears("MESSAGE_CREATE")).lower()
    assert 1 == len(stack.jobs())


@pytest.mark.usefixtures("bot")
async def test_subtitles_come_with_the_video_and_what_there_is_not_is_told(
    stack: Stack, ben: Person
) -> None:
    url = f"{stack.address}/page/spoken?subtitles=en,de"
    offered = await ben.completes("download", "subtitles", "")
    assert "en" == offered[0]["value"]
    assert "German" in [each["name"] for each in offered]
    await ben.types("download", url=url, subtitles="German")
    made = await ben.hears("MESSAGE_CREATE")
    files = (await ended(ben, made["id"]))["attachments"]
    assert ["mp4", "de.srt"] == [each["filename"].partition(".")[2] for each in files]
    await ben.types("download", url=url, subtitles="ja")
    none = await ben.hears("MESSAGE_CREATE", at_least=2)
    assert "There are: German, English." in (await ended(ben, none["id"]))["content"]
    await ben.types("download", url=url, subtitles="klingon or so")
    assert "I don't know this language" in private(await ben.hears("MESSAGE_CREATE", at_least=3))
