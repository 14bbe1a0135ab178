"""The fetcher as a process of its own, with the agent's end of the socket."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trawler_crds.media_job import Limits, Media
from trawler_worker.agent.fetching import Fetcher, FetcherLost
from trawler_worker.protocol import Done, Fetch, Stop, ToAgent, line


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running fetcher; killed after the test if it still is."""
    (tmp_path / "scratch").mkdir()
    found = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trawler_worker.fetcher"),
        env={
            **os.environ,
            "TRAWLER_WORKER_SOCKET": str(tmp_path / "s"),
            "TRAWLER_WORKER_SCRATCH": str(tmp_path / "scratch"),
            "PYTHONMALLOC": "malloc",
        },
    )
    yield found
    with contextlib.suppress(ProcessLookupError):
        found.kill()
    await found.wait()


def _zygote(of: int) -> int:
    children = Path(f"/proc/{of}/task/{of}/children").read_text().split()
    return int(children[0])


def _order() -> Fetch:
    return Fetch(
        job="u-1",
        url="http://10.0.0.1/a.mp4",
        media=Media(),
        engines=[],
        limits=Limits(),
        seconds=30,
    )


async def test_its_jobs_use_the_allocator_that_is_fast(
    process: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    """The chart gives the fetcher the one that gives memory back; a job is gone before that
    matters.
    """
    fetcher = await Fetcher.connect(tmp_path / "s", patience=60)
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(fetcher.run())
        assert b"PYTHONMALLOC" in Path(f"/proc/{process.pid}/environ").read_bytes()
        zygote = Path(f"/proc/{_zygote(process.pid)}/environ")
        assert b"PYTHONMALLOC" not in zygote.read_bytes()
        fetcher.close()
        async with asyncio.timeout(20):
            assert 0 == await process.wait()
        hearing.cancel()


async def test_it_works_until_the_agent_hangs_up(
    process: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    """SIGTERM alone does not stop it: the agent may still finish what runs."""
    fetcher = await Fetcher.connect(tmp_path / "s", patience=60)
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(fetcher.run())
        process.send_signal(signal.SIGTERM)
        done = await fetcher.fetch(_order(), lambda _: None)
        assert done.fault is not None
        assert "BadAddress" == done.fault.reason
        fetcher.close()
        async with asyncio.timeout(20):
            assert 0 == await process.wait()
        hearing.cancel()


async def test_without_an_agent_sigterm_ends_it(
    process: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    """A pod that is deleted while it starts."""
    async with asyncio.timeout(60):
        while not (tmp_path / "s").exists():
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        assert 0 == await process.wait()


async def test_a_dead_zygote_ends_the_fetcher_and_the_agent_knows(
    process: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    """Both containers then end, and the pod is replaced."""
    fetcher = await Fetcher.connect(tmp_path / "s", patience=60)
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(fetcher.run())
        assert process.pid is not None
        os.kill(_zygote(process.pid), signal.SIGKILL)
        async with asyncio.timeout(20):
            await fetcher.lost.wait()
            await process.wait()
        with pytest.raises(FetcherLost):
            await fetcher.fetch(_order(), lambda _: None)
        hearing.cancel()
        fetcher.close()


async def test_a_job_that_is_stopped_at_once_is_not_begun(
    process: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    """A busy fetcher reads both lines in one go."""
    assert process.returncode is None
    async with asyncio.timeout(60):
        while not (tmp_path / "s").exists():
            await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(line(_order()) + line(Stop(job=_order().job)))
        done = ToAgent.validate_json(await reader.readline())
    assert isinstance(done, Done)
    assert done.fault is not None
    assert "Cancelled" == done.fault.reason
    async with asyncio.timeout(10):
        while os.listdir(tmp_path / "scratch"):
            await asyncio.sleep(0.02)
    writer.close()


async def test_nobody_but_the_agent_is_served(tmp_path: Path) -> None:
    """A job process has the fetcher's user id and could dial its socket."""
    (tmp_path / "scratch").mkdir()
    fetcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trawler_worker.fetcher"),
        env={
            **os.environ,
            "TRAWLER_WORKER_SOCKET": str(tmp_path / "s"),
            "TRAWLER_WORKER_SCRATCH": str(tmp_path / "scratch"),
            "TRAWLER_WORKER_AGENT_UID": str(os.geteuid() + 12345),
        },
    )
    try:
        stranger = await Fetcher.connect(tmp_path / "s", patience=60)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stranger.run())
            async with asyncio.timeout(10):
                await stranger.lost.wait()
        stranger.close()
    finally:
        fetcher.kill()
        await fetcher.wait()
