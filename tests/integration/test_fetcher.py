"""The fetcher with the real yt-dlp and ffmpeg against a site that behaves well and badly."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rawsite import Asked, Said, answer, rawsite
from servers import wait_until
from trawler_crds.media_job import EngineName, Limits, Media
from trawler_worker.fetcher.engines.settings import EngineSettings
from trawler_worker.fetcher.supervision import watchdog
from trawler_worker.fetcher.supervision.supervisor import JobSupervisor
from trawler_worker.protocol import Done, Fetch, Moved, Told

MEMORY = 512 * 2**20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def supervisor(
    tmp_path_factory: pytest.TempPathFactory, site: Any
) -> AsyncIterator[JobSupervisor]:
    """One warm zygote for all tests here, as in a pod."""
    found = JobSupervisor(scratch=tmp_path_factory.mktemp("scratch"), job_memory=MEMORY)
    async with found:
        await found.start(EngineSettings(allow=[f"127.0.0.1:{site.port}"]))
        yield found


def order(url: str, **more: Any) -> Fetch:
    fields = {"media": Media(), "engines": [], "limits": Limits(), "seconds": 60.0, **more}
    return Fetch(job=f"{secrets.token_hex(8)}-1", url=url, **fields)


async def run(supervisor: JobSupervisor, wish: Fetch) -> Done:
    reports: list[Moved | Told] = []
    return await supervisor.run(wish, reports.append)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("path", "engine", "kind"),
    [
        ("/video/a.mp4", "Direct", "video/mp4"),
        ("/audio/a.mp3", "Direct", "audio/mpeg"),
        ("/image/a.png", "Direct", "image/png"),
        ("/image/a.gif", "Direct", "image/gif"),
        ("/page/a", "YtDlp", "video/mp4"),
        ("/redirect/5/a.mp4", "Direct", "video/mp4"),
        ("/healing/a.mp4?bytes=300000", "Direct", "video/mp4"),
    ],
)
async def test_honest_media_is_fetched_and_proved(
    supervisor: JobSupervisor, site: Any, path: str, engine: str, kind: str
) -> None:
    """By the engine that is right for it."""
    done = await run(supervisor, order(site.url(path)))
    assert done.fault is None
    assert (engine, kind) == (done.engine, done.files[0].type)
    assert done.files[0].bytes > 1000


async def test_what_the_site_says_of_it_comes_before_the_bytes(
    supervisor: JobSupervisor, site: Any
) -> None:
    """For people to look at while they wait: cleaned, once, and before any progress of the
    fetch.
    """
    reports: list[Moved | Told] = []
    url = site.url("/page/told?bytes=3000000&title=A%0A%E2%80%AEtitle")
    await supervisor.run(order(url), reports.append)
    (told,) = [report for report in reports if isinstance(report, Told)]
    assert told.title is not None
    assert "title" in told.title
    assert told.title.isprintable()
    before = reports[: reports.index(told)]
    assert all(report.bytes == 0 for report in before if isinstance(report, Moved))


async def test_a_stream_in_segments_is_joined(supervisor: JobSupervisor, site: Any) -> None:
    """HLS by yt-dlp's own downloader."""
    done = await run(supervisor, order(site.url("/hls/b.m3u8"), engines=[EngineName.YT_DLP]))
    assert done.fault is None
    assert 11 < (done.files[0].seconds or 0) < 13


async def test_the_bytes_are_those_of_the_site(supervisor: JobSupervisor, site: Any) -> None:
    """A resumed download too."""
    wish = order(site.url("/healing/whole.mp4?bytes=500000"))
    done = await run(supervisor, wish)
    path = Path(supervisor._scratch.path, wish.job) / done.files[0].path
    assert path.read_bytes() == site.site._studio.make("mp4", "whole", 500_000)


async def test_an_album_gives_every_file(supervisor: JobSupervisor, site: Any) -> None:
    """Each with a name of its own."""
    done = await run(supervisor, order(site.url("/album/c?count=3")))
    assert 3 == len({file.name for file in done.files})


@pytest.mark.parametrize(
    ("wanted", "kind", "ending"),
    [("Mp3", "audio/mpeg", ".mp3"), ("Opus", "audio/ogg", ".opus"), (None, "audio/mp4", ".m4a")],
)
async def test_only_the_sound_in_the_wanted_format(
    supervisor: JobSupervisor, site: Any, wanted: str | None, kind: str, ending: str
) -> None:
    """From a video, by ffmpeg on the local file."""
    media = Media.model_validate({"kind": "Audio", "audioFormat": wanted})
    done = await run(supervisor, order(site.url("/video/d.mp4"), media=media))
    assert done.fault is None
    assert kind == done.files[0].type
    assert done.files[0].name.endswith(ending)


SMALL = Limits.model_validate({"maxBytes": 2_000_000})


@pytest.mark.parametrize(
    ("path", "reason", "more"),
    [
        ("/status/404/a.mp4", "NothingFound", {}),
        ("/status/410/a.mp4", "NothingFound", {}),
        ("/status/401/a.mp4", "NeedsLogin", {}),
        ("/status/403/a.mp4", "NeedsLogin", {}),
        ("/status/429/a.mp4", "Throttled", {}),
        ("/status/503/a.mp4", "Throttled", {}),
        ("/status/500/a.mp4", "SiteError", {}),
        ("/text/a", "NothingFound", {}),
        ("/html/a.mp4", "NotSupported", {}),
        ("/html/a.mp4", "NotSupported", {"engines": [EngineName.YT_DLP]}),
        ("/page/a", "NotSupported", {"engines": [EngineName.DIRECT]}),
        ("/cut/a.mp4?bytes=200000", "SiteError", {}),
        ("/truncated/a.mp4?bytes=200000", "SiteError", {}),
        ("/truncated/a.mp4?bytes=200000", "SiteError", {"engines": [EngineName.YT_DLP]}),
        ("/shorter/a.mp4?bytes=200000", "SiteError", {}),
        ("/empty/a.mp4", "SiteError", {}),
        ("/redirect/6/a.mp4", "SiteError", {}),
        ("/redirect/6/a.mp4", "SiteError", {"engines": [EngineName.YT_DLP]}),
        ("/inward/a.mp4", "BadAddress", {}),
        ("/inward/a.mp4", "BadAddress", {"engines": [EngineName.YT_DLP]}),
        ("/endless/a.mp4", "TooLarge", {"limits": SMALL}),
        ("/endless/a.mp4", "TooLarge", {"limits": SMALL, "engines": [EngineName.YT_DLP]}),
        ("/larger/a.mp4", "TooLarge", {}),
        ("/slow/a.mp4", "TooLong", {"seconds": 2.0}),
        ("/stalled/a.mp4", "TooLong", {"seconds": 2.0}),
        ("/album/many?count=4", "TooLarge", {"limits": Limits.model_validate({"maxFiles": 3})}),
        ("/image/a.png", "NothingFound", {"media": Media.model_validate({"kind": "Video"})}),
        ("/video/a.mp4", "NotSupported", {"media": Media.model_validate({"maxHeight": 144})}),
    ],
)
async def test_a_site_that_misbehaves_gets_its_reason_and_leaves_nothing(
    supervisor: JobSupervisor, site: Any, path: str, reason: str, more: dict[str, Any]
) -> None:
    """A fixed reason, a sentence of ours; no process and, once released, no file."""
    wish = order(site.url(path), **more)
    done = await run(supervisor, wish)
    assert done.fault is not None
    assert reason == done.fault.reason
    assert done.fault.detail is None
    assert done.fault.message is None or done.fault.message.endswith(".")
    supervisor.release(wish.job)
    assert not Path(supervisor._scratch.path, wish.job).exists()
    assert [] == _processes_of(wish.job)


@pytest.mark.parametrize(
    "url",
    [
        "http://nowhere.invalid/a.mp4",
        "http://nowhere.invalid/a",
        "http://10.0.0.1/a.mp4",
        "http://169.254.169.254/latest",
        "http://[::1]:9/a.mp4",
        "http://127.0.0.1:1/a",
    ],
)
async def test_an_address_we_may_not_reach_is_a_bad_address(
    supervisor: JobSupervisor, url: str
) -> None:
    """No connection was made."""
    done = await run(supervisor, order(url))
    assert done.fault is not None
    assert "BadAddress" == done.fault.reason


def _processes_of(job: str) -> list[int]:
    """Processes whose working folder is (or was) the job's scratch."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                where = os.readlink(f"/proc/{name}/cwd")
            except OSError:
                continue
            if job in where:
                found.append(int(name))
    return found


async def test_stopping_a_job_kills_its_whole_group_at_once(
    supervisor: JobSupervisor, site: Any
) -> None:
    """A body that would take an hour."""
    wish = order(site.url("/slow/stop.mp4"))
    running = asyncio.create_task(run(supervisor, wish))
    async with asyncio.timeout(10):
        while not _processes_of(wish.job):
            await asyncio.sleep(0.02)
    supervisor.stop(wish.job)
    async with asyncio.timeout(5):
        done = await running
    assert done.fault is not None
    assert "Cancelled" == done.fault.reason
    assert [] == _processes_of(wish.job)


async def test_a_child_of_a_job_that_outlives_it_is_killed_too(
    supervisor: JobSupervisor, site: Any
) -> None:
    """Whatever ffmpeg is doing when its parent dies."""
    media = Media.model_validate({"kind": "Audio", "audioFormat": "Flac"})
    wish = order(site.url("/slow/child.mp4"), media=media)
    running = asyncio.create_task(run(supervisor, wish))
    async with asyncio.timeout(10):
        while not (pids := _processes_of(wish.job)):
            await asyncio.sleep(0.02)
    os.kill(pids[0], 9)
    async with asyncio.timeout(5):
        done = await running
    assert done.fault is not None
    assert "OutOfMemory" == done.fault.reason  # killed by nobody of ours: as the kernel does
    assert [] == _processes_of(wish.job)


@pytest.mark.parametrize("engine", ["Direct", "YtDlp"])
async def test_what_is_asked_for_again_may_take_its_time_to_begin(
    tmp_path: Path, site: Any, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """It ended as too slow: the rule for what flows, here over a second, held for what had not
    begun.
    """
    monkeypatch.setattr(watchdog, "WINDOW", 1.0)
    body = site.site._studio.make("mp4", "again", 300_000)
    head = ('ETag: "one"', "Accept-Ranges: bytes")

    def say(asked: Asked) -> Said:
        begin = int(asked.headers.get("range", "bytes=0-")[6:].partition("-")[0])
        whole = answer("200 OK", body, *head)
        if not begin:
            return [whole[0], whole[1][:100_000]] if "range" not in asked.headers else whole
        span = f"Content-Range: bytes {begin}-{len(body) - 1}/{len(body)}"
        return [2.5, *answer("206 Partial Content", body[begin:], span, *head)]

    mine = JobSupervisor(scratch=tmp_path, job_memory=MEMORY)
    async with mine:
        with rawsite(say) as raw:
            await mine.start(EngineSettings(allow=[f"127.0.0.1:{raw.port}"]))
            done = await run(mine, order(raw.url("/a.mp4"), engines=[EngineName(engine)]))
            assert any(asked.headers.get("range", "bytes=0-") != "bytes=0-" for asked in raw.asked)
    assert done.fault is None
    assert "Length" == done.files[0].verified


async def test_a_job_that_takes_too_much_memory_is_stopped(tmp_path: Path, site: Any) -> None:
    """Summed over its group, by what is private to it."""
    tight = JobSupervisor(scratch=tmp_path, job_memory=200_000)
    async with tight:
        await tight.start(EngineSettings(allow=[f"127.0.0.1:{site.port}"]))
        done = await run(tight, order(site.url("/slow/memory.mp4")))
        assert done.fault is not None
        assert "OutOfMemory" == done.fault.reason


async def test_a_zygote_that_dies_ends_its_jobs_and_is_noticed(tmp_path: Path, site: Any) -> None:
    """The fetcher then leaves, and the pod is replaced."""
    mine = JobSupervisor(scratch=tmp_path, job_memory=MEMORY)
    async with mine:
        await mine.start(EngineSettings(allow=[f"127.0.0.1:{site.port}"]))
        wish = order(site.url("/slow/zygote.mp4"))
        running = asyncio.create_task(run(mine, wish))
        async with asyncio.timeout(10):
            while not _processes_of(wish.job):
                await asyncio.sleep(0.02)
        assert mine._process is not None
        mine._process.kill()
        async with asyncio.timeout(5):
            done = await running
        assert done.fault is not None
        assert "WorkerLost" == done.fault.reason
        assert mine.lost.is_set()
        wait_until(lambda: not _processes_of(wish.job), what="the end of the job's process")
