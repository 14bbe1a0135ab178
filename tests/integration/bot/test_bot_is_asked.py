"""Every way in, and what it says when it cannot: completions, right click, lists, other servers,
and parts of ours that are away.
"""

import asyncio
from typing import Any

import psycopg
import pytest

from apiproxy import ApiProxy
from bot_process import BotProcess, button, delivered, ended, link
from emulated import Emulated, Person
from postgres import Postgres
from stack import Stack
from trawler_bot.storage.database import AGAIN
from trawler_crds.keys import LABEL_MANAGED_BY, MANAGED_BY_BOT
from trawler_sandbox.discord.faults import Answer
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.world import Overwrite

pytestmark = pytest.mark.timeout(240)

SLOTS = 4
"""Of the one pod that there is."""


def private(message: dict[str, Any]) -> str:
    """The words of an answer that only one person sees."""
    assert message["flags"] & 64, message
    return str(message["content"])


@pytest.mark.usefixtures("bot")
async def test_ones_own_links_are_completed(stack: Stack, ben: Person, emulated: Emulated) -> None:
    """With a word where the answer is stored already; also one that is longer than Discord's
    hundred characters; not somebody else's.
    """
    short, long = link(stack), f"{link(stack)}&x={'y' * 200}"
    for number, url in enumerate((short, long), 1):
        await ben.types("download", url=url)
        first = await ben.hears("MESSAGE_CREATE", at_least=number)
        await ended(ben, first["id"])
    offered = await ben.completes("download", "url", stack.address[7:])
    assert [True, True] == [each["name"].startswith("ready · ") for each in offered]
    assert short in [each["value"] for each in offered]
    assert all(len(each["value"]) <= 100 and len(each["name"]) <= 100 for each in offered)
    (number_,) = [each["value"] for each in offered if each["value"] != short]
    await ben.types("download", url=number_)
    third = await ben.hears("MESSAGE_CREATE", at_least=3)
    assert "y" * 200 in (await ended(ben, third["id"]))["content"]
    cleo = next(u for u in emulated.discord.world.users.values() if u.name == "cleo")
    async with emulated.person(cleo) as other:
        assert [] == await other.completes("download", "url", stack.address[7:])
        typed = await other.completes("download", "url", "https://example.com/a")
        assert ["https://example.com/a"] == [each["value"] for each in typed]


@pytest.mark.usefixtures("bot")
async def test_what_a_message_holds_is_saved_by_right_click(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """One link at once; of several the chosen ones, each in a message of its own; none is said."""
    one = await ben.says(f"look at {link(stack)}!")
    await ben.right_clicks(one["id"], "Save media")
    first = await ben.hears("MESSAGE_CREATE", at_least=2)
    assert 1 == len((await ended(ben, first["id"]))["attachments"])

    urls = [link(stack) for _ in range(3)]
    several = await ben.says(" and ".join(urls))
    await ben.right_clicks(several["id"], "Save media")
    picker = await ben.hears("MESSAGE_CREATE", at_least=4)
    assert "Which of these" in private(picker)
    chosen = picker["components"][0]["components"][0]
    assert 3 == len(chosen["options"])
    await ben.chooses(picker["id"], chosen["custom_id"], "0", "2")
    await stack.until(lambda: 3 == len(stack.jobs()), what="two more jobs")
    for number in (5, 6):
        made = await ben.hears("MESSAGE_CREATE", at_least=number)
        assert 1 == len((await ended(ben, made["id"]))["attachments"])
    assert {urls[0], urls[2]} <= {job.spec.url for job in stack.jobs().values()}

    nothing = await ben.says("good morning")
    await ben.right_clicks(nothing["id"], "Save media")
    assert "no link and no file" in private(await ben.hears("MESSAGE_CREATE", at_least=8))
    assert 3 == len(stack.jobs())


@pytest.mark.usefixtures("bot")
async def test_a_job_that_is_deleted_before_its_message_is_there_is_said_to_be_gone(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Discord is out of order for some seconds; somebody deletes the job meanwhile."""
    several = await ben.says(" and ".join(link(stack, 5_000_000, 50_000) for _ in range(2)))
    await ben.right_clicks(several["id"], "Save media")
    picker = await ben.hears("MESSAGE_CREATE", at_least=2)
    emulated.discord.faults.answers.append(Answer("POST", "/messages", 502, times=2))
    chosen = picker["components"][0]["components"][0]
    await ben.chooses(picker["id"], chosen["custom_id"], "0")
    await stack.until(lambda: 1 == len(stack.jobs()), what="a job")
    stack.operator.remove("mediajobs")
    await stack.until(lambda: not stack.jobs(), what="no job")
    assert 2 == [name for name, _ in ben.heard].count("MESSAGE_CREATE")
    made = await ben.hears("MESSAGE_CREATE", at_least=3)
    shown = emulated.channel.messages[int(made["id"])]
    await stack.until(
        lambda: "removed before it finished" in shown.content and not shown.components,
        what="a word",
    )
    await stack.nothing_left()


@pytest.mark.usefixtures("bot")
async def test_lists_and_cancelling_by_command(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """What waits and runs in the server, one's own requests; only one's own can be cancelled."""
    await ben.types("queue list")
    assert "Nothing is waiting" in private(await ben.hears("MESSAGE_CREATE"))
    url = link(stack, 5_000_000, 50_000)
    await ben.types("download", url=url)
    first = await ben.hears("MESSAGE_CREATE", at_least=2)
    await stack.until(
        lambda: "Running" in {str(j.status.phase) for j in stack.jobs().values()}, what="it"
    )
    cleo = next(u for u in emulated.discord.world.users.values() if u.name == "cleo")
    async with emulated.person(cleo) as other:
        await other.types("queue list")
        seen = private(await other.hears("MESSAGE_CREATE"))
        assert f"<@{ben.user.id}>" in seen
        assert "running" in seen
        assert [] == await other.completes("queue cancel", "job", "")
        (name,) = stack.jobs()
        await other.types("queue cancel", job=name)
        assert "Only the person who asked" in private(
            await other.hears("MESSAGE_CREATE", at_least=2)
        )
    (offered,) = await ben.completes("queue cancel", "job", "")
    await ben.types("queue cancel", job=offered["value"])
    assert "Cancelling." in private(await ben.hears("MESSAGE_CREATE", at_least=3))
    assert "Cancelled." in (await ended(ben, first["id"]))["content"]
    await ben.types("jobs mine")
    mine = private(await ben.hears("MESSAGE_CREATE", at_least=4))
    assert "Cancelled" in mine
    assert f"/{emulated.channel.id}/{first['id']}" in mine


@pytest.mark.bot(ALLOWED_GUILDS="1234567890")
@pytest.mark.usefixtures("bot")
async def test_a_server_that_is_not_served_is_told_so(stack: Stack, ben: Person) -> None:
    """In private; no MediaJob."""
    await ben.types("download", url=link(stack))
    assert "not set up for this server" in private(await ben.hears("MESSAGE_CREATE"))
    assert [] == await ben.completes("download", "url", "http")
    assert {} == stack.jobs()


@pytest.mark.bot(QUEUE='{"weight": 3, "maxQueued": 1}')
@pytest.mark.usefixtures("bot")
async def test_a_full_queue_and_a_missing_right_are_said_before_anything_is_made(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """The server has got its MediaQueue with the install's defaults."""
    denied = int(Permission.ATTACH_FILES)
    emulated.channel.overwrites = [Overwrite(emulated.application.id, 1, deny=denied)]
    await ben.types("download", url=link(stack))
    assert "Attach Files" in private(await ben.hears("MESSAGE_CREATE"))
    emulated.channel.overwrites = []
    assert {} == stack.jobs()
    await ben.types("download", url=link(stack))
    second = await ben.hears("MESSAGE_CREATE", at_least=2)
    await ended(ben, second["id"])
    queue = f"guild-{emulated.guild.id}"
    await stack.until(lambda: queue in stack.operator.kubectl("get", "mq"), what="its queue")
    assert 3 == stack.operator.read("mediaqueues", queue)["spec"]["weight"]
    wanted = ["Succeeded"]
    for phase in ["Running"] * SLOTS + ["Queued"]:
        await ben.types("download", url=link(stack, 5_000_000, 50_000))
        wanted.append(phase)
        await stack.until(
            lambda: sorted(wanted) == sorted(str(j.status.phase) for j in stack.jobs().values()),
            what=f"one that is {phase}",
        )
    await asyncio.sleep(2)  # a queue that could not be looked at is looked at again after that
    await ben.types("download", url=link(stack))
    assert "queue is full" in private(await ben.hears("MESSAGE_CREATE", at_least=4 + SLOTS))
    assert 2 + SLOTS == len(stack.jobs())


@pytest.fixture
def left(stack: Stack, emulated: Emulated) -> str:
    """Queues of a server that the bot has left, of the one where it is, and of one that an admin
    made.
    """
    ours = {LABEL_MANAGED_BY: MANAGED_BY_BOT}
    for name, labels in (("guild-7", ours), (f"guild-{emulated.guild.id}", ours), ("guild-8", {})):
        queue = {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": "MediaQueue",
            "metadata": {"name": name, "labels": labels},
        }
        stack.operator.api.send("POST", stack.operator.ours("mediaqueues"), queue)
    return "guild-7"


async def test_the_queue_of_a_server_that_the_bot_has_left_goes(
    stack: Stack, emulated: Emulated, left: str, bot: BotProcess
) -> None:
    """Those of the servers where it is stay, and those that somebody else made."""

    def there() -> set[str]:
        return {each["metadata"]["name"] for each in stack.operator.all("mediaqueues")}

    assert bot.ready()
    await stack.until(lambda: left not in there(), what="a deleted queue")
    assert {f"guild-{emulated.guild.id}", "guild-8"} == there()


async def test_the_api_server_is_away(
    stack: Stack, ben: Person, emulated: Emulated, proxy: ApiProxy, bot: BotProcess
) -> None:
    """Within three seconds it is said that nothing was begun; Try again begins it."""
    proxy.away = True
    await ben.types("download", url=link(stack))
    said = await ben.hears("MESSAGE_CREATE")
    assert "nothing was started" in private(said)
    proxy.away = False
    await ben.presses(said["id"], button(said, "Try again"))
    second = await ben.hears("MESSAGE_CREATE", at_least=2)
    assert 1 == len((await ended(ben, second["id"]))["attachments"])
    assert 1 == len(stack.jobs())
    assert all(seconds < 3 for _, seconds in emulated.hub.counters.timings)
    assert "updater_died" not in bot.log.read_text()


async def test_the_database_is_away(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess, postgres: Postgres
) -> None:
    """Everything works, also from the start, with what it knows otherwise; then it is used
    again.
    """
    postgres.stop()
    try:
        for number in (1, 2):
            await ben.types("download", url=link(stack))
            first = await ben.hears("MESSAGE_CREATE", at_least=number)
            assert 1 == len((await ended(ben, first["id"]))["attachments"])
            offered = await ben.completes("download", "url", stack.address[7:])
            assert number == len(offered)
            bot.kill()
            bot.start()
            await stack.until(bot.ready, what="the bot")
    finally:
        postgres.start()
    assert all(seconds < 3 for _, seconds in emulated.hub.counters.timings)
    await stack.until(lambda: '"database_step"' in bot.log.read_text(), what="the database")


@pytest.mark.usefixtures("bot")
async def test_the_database_hangs(
    stack: Stack, ben: Person, emulated: Emulated, database: str, postgres: Postgres
) -> None:
    """Frozen, it keeps its connections and never answers: nobody waits for it longer than a moment,
    and what is asked when it goes on is noted again.
    """
    with postgres.frozen():
        for number in (1, 2, 3):
            await ben.types("download", url=link(stack))
            first = await ben.hears("MESSAGE_CREATE", at_least=number)
            assert 1 == len((await ended(ben, first["id"]))["attachments"])
            await asyncio.sleep(AGAIN)  # else it would not be asked at all
    assert all(seconds < 1.5 for _, seconds in emulated.hub.counters.timings)
    number = 3

    async def is_noted() -> bool:
        nonlocal number
        before, number = set(stack.jobs()), number + 1
        await ben.types("download", url=link(stack))
        first = await ben.hears("MESSAGE_CREATE", at_least=number)
        await ended(ben, first["id"])
        with psycopg.connect(database) as connection:
            noted = {row[0] for row in connection.execute("select job from requests")}
        (made,) = set(stack.jobs()) - before
        return made in noted

    async with asyncio.timeout(30):
        while not await is_noted():
            await asyncio.sleep(AGAIN)


@pytest.mark.usefixtures("bot")
async def test_bus_and_store_are_away_for_a_while(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Answered at once; the files come when they are back, in the same message."""
    stack.bus.stop()
    await ben.types("download", url=link(stack))
    first = await ben.hears("MESSAGE_CREATE")
    await asyncio.sleep(1)
    stack.bus.start()
    assert 1 == len((await ended(ben, first["id"]))["attachments"])
    await ben.types("download", url=link(stack, 300_000, 100_000))
    second = await ben.hears("MESSAGE_CREATE", at_least=2)
    stack.s3.stop()
    await asyncio.sleep(5)
    stack.s3.start()
    assert 1 == len((await ended(ben, second["id"]))["attachments"])
    assert 2 == len(emulated.channel.messages)


async def test_a_private_request_survives_the_bots_death(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess
) -> None:
    """The interaction's token was kept, encrypted: the same hidden message gets the file."""
    await ben.types("download", url=link(stack, 300_000, 100_000), private=True)
    first = await ben.hears("MESSAGE_CREATE")
    bot.kill()
    bot.start()
    await delivered(stack, "Shown", "True")
    assert 1 == len((await ended(ben, first["id"]))["attachments"])
    assert 1 == len(emulated.channel.messages)


@pytest.mark.bot(COOLDOWN_SECONDS="0")
@pytest.mark.usefixtures("bot")
async def test_a_hanging_api_server_keeps_no_server_waiting_for_another(
    stack: Stack, ben: Person, emulated: Emulated, proxy: ApiProxy
) -> None:
    """People of twenty servers ask at the same moment: each is told within Discord's three seconds
    that nothing was started; when it goes on, nothing of it is done.
    """
    world = emulated.discord.world
    usual = emulated.guild.roles[emulated.guild.id].permissions
    places = []
    for number in range(20):
        guild = world.add_guild(f"Server {number}", emulated.ada, everyone=usual)
        for user in (emulated.ben, emulated.application.bot):
            world.join(guild, user)
        places.append(world.add_channel(guild, "general"))
    await emulated.discord.gateway.disturb("invalid_session", resumable=False)
    ready = emulated.hub.counters.identifies
    await stack.until(lambda: emulated.hub.counters.identifies > ready, what="a new session")
    await asyncio.sleep(3)  # until the library has heard of all servers
    proxy.hangs = True
    try:
        await asyncio.gather(*(ben.types("download", at=at, url=link(stack)) for at in places))
        said = await ben.hears("MESSAGE_CREATE", at_least=20)
        assert said["flags"] & 64
    finally:
        proxy.hangs = False
    every = [b for n, b in ben.heard if n == "MESSAGE_CREATE"]
    assert all("nothing was started" in private(each) for each in every)
    assert 20 == len(emulated.hub.counters.timings)
    assert all(seconds < 3 for _, seconds in emulated.hub.counters.timings)
    await stack.until(
        lambda: {"Cancelled"} >= {str(job.status.phase) for job in stack.jobs().values()},
        what="none",
    )


@pytest.mark.usefixtures("bot")
async def test_a_slow_completion_costs_nobody_anything(
    stack: Stack, ben: Person, emulated: Emulated, database: str
) -> None:
    """The table of requests is locked for whoever looks; tokens, notes and links go their way."""
    with psycopg.connect(database) as other:
        other.execute("lock table requests in access exclusive mode")
        assert [] == await ben.completes("download", "url", "")
        await ben.types("download", url=link(stack), private=True)
        first = await ben.hears("MESSAGE_CREATE")
        assert 1 == len((await ended(ben, first["id"]))["attachments"])
        other.rollback()

    def noted() -> list[Any]:
        with psycopg.connect(database) as connection:
            return connection.execute("select job from requests").fetchall()

    await stack.until(lambda: 1 == len(noted()), what="what could not be noted before")
    assert all(seconds < 2 for _, seconds in emulated.hub.counters.timings)
