"""A job process that misbehaves: gone within two seconds of its end with all that it started, its
neighbour unharmed, nothing kept that was not proved.
"""

import asyncio
import contextlib
import errno
import gc
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

import rogue
from fetching import order
from trawler_worker.agent.upload import UploadFailed, hash_file
from trawler_worker.fetcher.engines.settings import EngineSettings
from trawler_worker.fetcher.supervision import processes
from trawler_worker.fetcher.supervision.supervisor import JobSupervisor
from trawler_worker.protocol import Done, Fetch, Moved, Told

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

ENDS_WITHIN = 2.0
SUPPORT = str(Path(rogue.__file__).parent)
MEMORY = 2**50
"""What forks still share counts for each of them: a thousand would be far over any cap."""


@pytest.fixture(scope="module", autouse=True)
def rogue_is_found() -> Iterator[None]:
    """By the fork server, which is a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        known = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [SUPPORT, known])))
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def supervisor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[JobSupervisor]:
    found = JobSupervisor(
        scratch=tmp_path_factory.mktemp("scratch"), job_memory=MEMORY, zygote="rogue"
    )
    async with found:
        await found.start(EngineSettings())
        yield found


def wish(what: str) -> Fetch:
    return order(f"http://rogue.example/{what}", engines=["Direct"])


async def run(supervisor: JobSupervisor, wanted: Fetch) -> Done:
    reports: list[Moved | Told] = []
    return await supervisor.run(wanted, reports.append)


def alive(supervisor: JobSupervisor) -> list[processes.Process]:
    """All below the fork server, but for who is dead already."""
    assert supervisor._process is not None
    below = processes.descendants([supervisor._process.pid], processes.every())
    return [process for process in below if not process.zombie]


async def gone(supervisor: JobSupervisor) -> None:
    end = time.monotonic() + ENDS_WITHIN
    while found := alive(supervisor):
        assert time.monotonic() < end, found
        await asyncio.sleep(0.02)


def descriptors() -> Counter[str]:
    """What this process holds open, by what each one is."""
    held: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that listed them
            held[re.sub(r"\d+", "", os.readlink(f"/proc/self/fd/{name}"))] += 1
    return held


async def swept(supervisor: JobSupervisor) -> None:
    """Until nothing is left in scratch: what is much goes in slices."""
    end = time.monotonic() + 10 * ENDS_WITHIN
    while found := os.listdir(supervisor._scratch.path):
        assert time.monotonic() < end, found[:5]
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("what", ["setsid", "double-fork", "deaf", "thousand"])
async def test_what_a_job_leaves_behind_is_gone(supervisor: JobSupervisor, what: str) -> None:
    """In whatever session, under whatever parent; the job itself did well."""
    done = await run(supervisor, wish(what))
    assert [] == alive(supervisor), "gone before the end is told"
    assert done.fault is None
    supervisor.release(done.job)
    await swept(supervisor)


async def test_a_chain_of_children_is_gone_to_its_last_link(supervisor: JobSupervisor) -> None:
    """Who dies gives its child to the fork server, which may look just then."""
    for _ in range(20):
        done = await run(supervisor, wish("chain"))
        assert [] == alive(supervisor)
        supervisor.release(done.job)
    await swept(supervisor)


@pytest.mark.parametrize("what", ["hopping", "sparse", "many-files", "talking"])
async def test_a_job_that_is_stopped_is_gone_with_all_its_children(
    supervisor: JobSupervisor, what: str
) -> None:
    """Also those that come into being while it is killed."""
    wanted = wish(what)
    running = asyncio.create_task(run(supervisor, wanted))
    while not alive(supervisor):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    supervisor.stop(wanted.job)
    begun = time.monotonic()
    done = await running
    assert time.monotonic() - begun < ENDS_WITHIN
    assert done.fault is not None
    assert [] == alive(supervisor)
    await swept(supervisor)


async def test_who_comes_to_the_fork_server_is_gone_while_the_job_goes_on(
    supervisor: JobSupervisor,
) -> None:
    """Nobody would count its memory."""
    wanted = wish("deserter")
    running = asyncio.create_task(run(supervisor, wanted))
    told = Path(supervisor._scratch.path, wanted.job, "grandchild")
    async with asyncio.timeout(30):
        while not told.exists() or not told.read_text().endswith(" "):
            await asyncio.sleep(0.02)
    pid = int(told.read_text())
    async with asyncio.timeout(ENDS_WITHIN):
        while processes.look(pid) is not None:
            await asyncio.sleep(0.02)
    assert not running.done(), await running
    supervisor.stop(wanted.job)
    await running


@pytest.mark.parametrize("what", ["sharing", "headless"])
async def test_memory_counts_wherever_it_is(tmp_path: Path, what: str) -> None:
    """Shared with nobody, or of a thread that outlives the first one."""
    small = JobSupervisor(scratch=tmp_path, job_memory=100_000_000, zygote="rogue")
    async with small:
        await small.start(EngineSettings())
        done = await run(small, wish(what))
    assert done.fault is not None
    assert "OutOfMemory" == done.fault.reason


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("fifo", "SiteError"),
        ("link", "SiteError"),
        ("second-name", "SiteError"),
        ("sparse", "TooLarge"),
        ("huge", "TooLarge"),
        ("many-files", "TooLarge"),
        ("talking", "Internal"),
    ],
)
async def test_what_a_job_must_not_do_ends_it(
    supervisor: JobSupervisor, what: str, reason: str
) -> None:
    """A pipe that nobody writes to, a link out of scratch, a file that is another's too, a full
    disk.
    """
    done = await run(supervisor, wish(what))
    assert done.fault is not None
    assert reason == done.fault.reason
    await gone(supervisor)
    supervisor.release(done.job)
    await swept(supervisor)


async def test_a_file_that_is_written_after_its_proof_is_not_taken(
    supervisor: JobSupervisor,
) -> None:
    """By a child that outlives the proof for a moment."""
    done = await run(supervisor, wish("changed-later"))
    assert done.fault is not None
    assert done.fault.reason in {"Internal", "SiteError"}
    assert [] == alive(supervisor)
    supervisor.release(done.job)


@pytest.mark.parametrize("what", ["locked-away", "locked-out", "beside"])
async def test_nothing_stays_in_scratch(supervisor: JobSupervisor, what: str) -> None:
    """Whatever its rights, and wherever it was put; what a link names is left alone."""
    done = await run(supervisor, wish(what))
    assert done.fault is None
    supervisor.release(done.job)
    await swept(supervisor)
    assert Path("/etc/passwd").exists()


async def test_no_folder_lies_too_deep_to_be_removed(supervisor: JobSupervisor) -> None:
    done = await run(supervisor, wish("deep"))
    assert done.fault is None or done.fault.reason == "TooLarge", "seen, or gone before it was"
    supervisor.release(done.job)
    await swept(supervisor)


async def test_a_job_that_is_over_holds_nothing_here(supervisor: JobSupervisor) -> None:
    """No descriptor and no object that waits for the collector; and its name is not among those
    that Python keeps.
    """
    kept_names = []

    async def once() -> None:
        wanted = wish("nothing")

        def moved(_: Moved | Told) -> None:
            same = "".join([*supervisor._scratch.path, "/", *wanted.job]).rpartition("/")[2]
            kept_names.append(sys.intern(same) is not same)

        await supervisor.run(wanted, moved)
        supervisor.release(wanted.job)

    await once()
    await swept(supervisor)  # the sweep holds a folder open while it looks
    before = descriptors()
    gc.disable()
    try:
        for _ in range(5):
            await once()
        await swept(supervisor)
        end = time.monotonic() + ENDS_WITHIN
        while more := descriptors() - before:
            assert time.monotonic() < end, more
            await asyncio.sleep(0.02)
    finally:
        gc.enable()
    assert kept_names
    assert not any(kept_names)


async def test_a_fork_server_that_is_busy_loses_nobody(supervisor: JobSupervisor) -> None:
    """It stands still for a while: what it is told meanwhile is little, and is told again."""
    assert supervisor._process is not None
    wanted = wish("deserter")
    running = asyncio.create_task(run(supervisor, wanted))
    told = Path(supervisor._scratch.path, wanted.job, "grandchild")
    async with asyncio.timeout(30):
        while not told.exists():
            await asyncio.sleep(0.01)
    os.kill(supervisor._process.pid, signal.SIGSTOP)
    try:
        while supervisor._tell({"kill": "nobody"}):
            continue
        supervisor.stop(wanted.job)
        refused = await run(supervisor, wish("nothing"))
        assert refused.fault is not None
        assert refused.fault.reason == "WorkerLost"
        await asyncio.sleep(0.6)  # and it is looked at meanwhile
    finally:
        os.kill(supervisor._process.pid, signal.SIGCONT)
    async with asyncio.timeout(ENDS_WITHIN):
        assert (await running).fault is not None
    assert not supervisor.lost.is_set()
    later = await run(supervisor, wish("nothing"))
    assert later.fault is None
    supervisor.release(later.job)
    await gone(supervisor)


async def test_a_neighbour_is_unharmed(supervisor: JobSupervisor) -> None:
    """Its children live as long as it does, whoever is killed beside it."""
    neighbour = wish("family")
    running = asyncio.create_task(run(supervisor, neighbour))
    while len(alive(supervisor)) < 7:
        await asyncio.sleep(0.02)
    for what in ("setsid", "deaf", "fifo", "thousand"):
        done = await run(supervisor, wish(what))
        supervisor.release(done.job)
    assert not running.done(), await running
    assert len(alive(supervisor)) == 7
    supervisor.stop(neighbour.job)
    await running
    await gone(supervisor)


async def test_the_agent_takes_no_file_that_is_not_as_it_was_proved(
    supervisor: JobSupervisor,
) -> None:
    """It looks again, before and after it hashes: a neighbour has the same user id."""
    done = await run(supervisor, wish("nothing"))
    folder = f"{supervisor._scratch.path}/{done.job}"
    (proved,) = done.files
    hashed = await hash_file(proved, folder)
    assert hashed.file.bytes == proved.bytes
    path = Path(folder, proved.path)
    body = path.read_bytes()
    for spoil in (_rewrite, _replace_by_link, _replace_by_fifo, _add_a_name):
        spoil(path, body)
        async with asyncio.timeout(5):
            with pytest.raises(UploadFailed):
                await hash_file(proved, folder)
    outside = proved.model_copy(update={"path": "../../../etc/passwd"})
    with pytest.raises(UploadFailed):
        await hash_file(outside, folder)
    supervisor.release(done.job)


def _rewrite(path: Path, body: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(body)


def _replace_by_link(path: Path, _: bytes) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _replace_by_fifo(path: Path, _: bytes) -> None:
    path.unlink()
    os.mkfifo(path)


def _add_a_name(path: Path, body: bytes) -> None:
    path.unlink()
    path.write_bytes(body)
    os.link(path, path.with_name("second"))


@pytest.mark.parametrize(("beside", "reason"), [(True, "OutOfMemory"), (False, "TooLarge")])
async def test_the_largest_goes_where_all_have_no_room_together(
    tmp_path: Path, *, beside: bool, reason: str
) -> None:
    """Before the kubelet ends the whole pod. Whoever had neighbours is tried once more, alone."""
    tight = JobSupervisor(scratch=tmp_path, job_memory=MEMORY, room=200_000_000, zygote="rogue")
    async with tight:
        await tight.start(EngineSettings())
        small = wish("family")
        running = asyncio.create_task(run(tight, small)) if beside else None
        while beside and len(alive(tight)) < 7:
            await asyncio.sleep(0.02)
        large = await run(tight, wish("roomy"))
        assert large.fault is not None
        assert reason == large.fault.reason
        if running is not None:
            assert not running.done()
            tight.stop(small.job)
            await running


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.EMFILE, "Internal"), (errno.ENOSPC, "OutOfMemory")]
)
async def test_a_job_that_cannot_be_begun_ends_alone(
    supervisor: JobSupervisor, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    """No descriptor or no room is left: the error ended the pod with all that ran in it."""
    neighbour = wish("hopping")
    running = asyncio.create_task(run(supervisor, neighbour))
    while not alive(supervisor):
        await asyncio.sleep(0.02)

    def refuse(_: int) -> tuple[int, int]:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe2", refuse)
        done = await run(supervisor, wish("setsid"))
    assert done.fault is not None
    assert done.fault.reason == reason
    assert not running.done()
    supervisor.stop(neighbour.job)
    await running
    await swept(supervisor)
