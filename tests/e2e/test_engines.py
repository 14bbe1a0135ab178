"""All engines through a real cluster: what each brings, and when another one is asked."""

import secrets
from collections.abc import Iterator

import pytest

from installed import SMALL, Installed, installed
from servers import wait_until
from trawler_cluster.provider import Provider
from trawler_crds.media_job import MediaJob
from trawler_operator.state import breakers

COBALT_THEN_DIRECT = ["Cobalt", "Direct"]


def seed() -> str:
    return secrets.token_hex(6)


def tried(job: MediaJob) -> list[tuple[str, str | None]]:
    return [
        (str(each.engine), str(each.reason) if each.reason else None)
        for each in job.status.attempts or ()
    ]


def test_an_album_of_twelve_by_cobalt_is_stored_in_its_order(release: Installed) -> None:
    """Each file the site's own, byte for byte, and where it belongs."""
    mine = seed()
    job = release.ended(release.ask(f"https://www.instagram.com/p/album12_{mine}"))
    assert ("Succeeded", "Cobalt", 12) == (
        job.status.phase,
        job.status.engine,
        job.status.file_count,
    )
    found = [file.sha256 for file in job.status.files or ()]
    expected = [
        release.record(f"{mine}-{n}", 0, "jpg" if n % 3 else "mp4")["sha256"] for n in range(1, 13)
    ]
    assert expected == found
    assert [("Cobalt", None)] == tried(job)


def test_the_other_engines_bring_what_is_theirs(release: Installed) -> None:
    """A video whose sound is a file of its own; a page of pictures; a file."""
    mine = seed()
    names = {
        "YtDlp": release.ask(f"http://site:8080/dash/{mine}.mpd"),
        "GalleryDl": release.ask(f"http://site/gallery/{mine}"),
        "Direct": release.ask(f"http://site:8080/video/{mine}.mp4"),
    }
    done = {engine: release.ended(name).status for engine, name in names.items()}
    assert {engine: engine for engine in names} == {e: str(s.engine) for e, s in done.items()}
    (video,) = done["YtDlp"].files or []
    assert 240 == video.height
    assert video.seconds == pytest.approx(4.0, abs=0.1)
    pictures = [file.sha256 for file in done["GalleryDl"].files or ()]
    assert [release.record(f"{mine}-{n}", 0, "jpg")["sha256"] for n in range(1, 5)] == pictures


HANDED_OVER = {
    "e.link.unsupported": "NotSupported",
    "e.service.disabled": "NotSupported",
    "e.fetch.empty": "SiteError",
    "e.fetch.critical": "SiteError",
    "e.youtube.login": "Throttled",
    "e.invalid_body": "Internal",
    "e.auth.key.missing": "Internal",
    "limited": "Throttled",
    "empty": "SiteError",
    "half": "SiteError",
    "broken": "SiteError",
    "page": "SiteError",
    "script": "SiteError",
    "inward": "SiteError",
    "foreign": "SiteError",
    "nonsense": "SiteError",
}
"""What Cobalt says or does → what its turn is recorded as."""


def test_every_class_of_failure_that_allows_it_is_another_engines_chance(
    release: Installed,
) -> None:
    """The file comes all the same; `kubectl describe` tells why it was the second engine's."""
    names = {
        case: release.ask(f"http://site:8080/video/{case}_{seed()}.mp4", engines=COBALT_THEN_DIRECT)
        for case in HANDED_OVER
    }
    for case, name in names.items():
        job = release.ended(name)
        assert "Succeeded" == job.status.phase, case
        assert [("Cobalt", HANDED_OVER[case]), ("Direct", None)] == tried(job), case
    described = release.kubectl.text("describe", "mediajob", names["e.fetch.empty"])
    assert "Cobalt could not get it from the site. (fetch.empty)" in described


@pytest.mark.parametrize(
    ("case", "reason"),
    [("e.content.video.private", "Unavailable"), ("e.content.too_long", "TooLarge")],
)
def test_what_nobody_else_would_get_ends_it(release: Installed, case: str, reason: str) -> None:
    """No other engine is asked."""
    url = f"http://site:8080/video/{case}_{seed()}.mp4"
    job = release.ended(release.ask(url, engines=COBALT_THEN_DIRECT))
    assert ("Failed", reason) == (job.status.phase, str(job.status.reason))
    assert [("Cobalt", reason)] == tried(job)


@pytest.fixture
def alone(cluster: tuple[Provider, bool]) -> Iterator[Installed]:
    """An install whose operator has heard of no site yet."""
    provider, goes = cluster
    namespace = f"trawler-test-{secrets.token_hex(3)}"
    values = (*SMALL, "bot.enabled=false")
    with installed(provider, namespace=namespace, crds=False, values=values, leave=goes) as found:
        yield found


def test_a_site_that_refuses_is_left_alone_and_others_go_on(alone: Installed) -> None:
    """The breaker opens, its jobs wait and say why, another site is served at once; it closes by
    itself.
    """
    alone.mood(bad=True)
    names = [
        alone.ask(f"http://site:8080/moody/{seed()}.mp4", engines=["Direct"], backoffLimit=9)
        for _ in range(8)
    ]

    def refused() -> bool:
        return sum(alone.job(name).status.failures > 0 for name in names) >= breakers.FAILURES

    wait_until(refused, what="that enough of them were refused", timeout=60)
    late = alone.ask(f"http://site:8080/moody/{seed()}.mp4", engines=["Direct"])
    waits = alone.until(late, lambda job: job.status.reason is not None, what="that it is said")
    assert "Queued" == waits.status.phase
    assert "site:8080 is refusing us at the moment" in (waits.status.message or "")
    assert "Throttled" in alone.kubectl.text("get", "mediajobs", late)
    other = alone.ended(alone.ask(f"http://site/video/{seed()}.mp4", engines=["Direct"]))
    assert "Succeeded" == other.status.phase
    alone.mood(bad=False)
    for name in (*names, late):
        assert "Succeeded" == alone.ended(name, timeout=150).status.phase
    assert len(alone.requests_for("/moody/")) < 8 * 5
