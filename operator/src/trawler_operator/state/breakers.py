"""Circuit breakers for sites that refuse an engine, one for each pair of site and engine. Pure.

A closed breaker lets requests through. After some consecutive failures it opens, and the engine is
not used at the site for a while. Then one job, the probe, may try. The outcome of the probe closes
the breaker, or keeps it open for twice as long.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineAttempt, EngineName

FAILURES: Final = 5
"""Consecutive failures of different jobs that open a breaker: one link may be bad by itself."""
FIRST_PAUSE: Final = 15.0
LONGEST_PAUSE: Final = 60.0
LONGEST_ASKED: Final = 600.0
"""Maximum seconds of a Retry-After that count for all jobs of a site."""
PROBE_WITHIN: Final = 60.0
"""Seconds after which a probe without a known outcome no longer counts as a probe."""
MOST: Final = 2000
"""Maximum number of pairs that are remembered."""
_REFUSED: Final = frozenset(
    [FailureReason.SITE_ERROR, FailureReason.THROTTLED, FailureReason.TOO_SLOW]
)
_ANSWERED: Final = frozenset(
    [None, FailureReason.NEEDS_LOGIN, FailureReason.UNAVAILABLE, FailureReason.TOO_LARGE]
)
"""Outcomes after which the site counts as working for the engine. Any other reason says nothing
about the site, for example that an engine does not support such links.
"""


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    last: str = ""
    """Uid of the job that failed last."""
    pause: float = 0.0
    until: float = 0.0
    """Monotonic seconds until which the breaker is open; 0: it is closed."""
    probed: float = 0.0
    """When (monotonic seconds) a probe was sent whose outcome is not known yet; 0: none."""
    probe: str = ""
    """Uid of the job that is the probe."""


@dataclass(frozen=True)
class Refusing:
    """A site that refuses an engine, for people and metrics."""

    site: str
    engine: EngineName
    seconds: float
    """Seconds until the engine is used there again."""


class Breakers:
    """All breakers, by site and engine. The least recently updated pairs are forgotten."""

    def __init__(self, failures: int = FAILURES) -> None:
        """A breaker opens after this many failures; 0: never."""
        self._failures = failures
        self._pairs: OrderedDict[tuple[str, EngineName], _Breaker] = OrderedDict()
        self._sites: dict[str, set[EngineName]] = {}
        """Site → engines that were used there recently."""
        self._open: set[tuple[str, EngineName]] = set()
        self._held: dict[str, str] = {}
        """Uid of a job that waits for its site → that site."""
        self._new: list[str] = []

    def __bool__(self) -> bool:
        """Whether any breaker is open, or waits for its probe."""
        return bool(self._open)

    def record(
        self,
        site: str,
        uid: str,
        attempts: list[EngineAttempt],
        now: float,
        *,
        retry_after: float | None = None,
    ) -> bool:
        """Record the outcomes of a job's engine attempts. `retry_after`: seconds that the site
        asked to wait, for the last attempt. Returns whether a site that could not be used before
        can be used again.
        """
        if not self._failures:
            return False
        closed = self.closed_until(site, now) > now
        for each in attempts:
            if each.reason not in _REFUSED | _ANSWERED:
                self._unheard(site, each.engine)
                continue
            last = each is attempts[-1]
            self._note(site, uid, each, now, retry_after if last else None)
        return closed and self.closed_until(site, now) <= now

    def _unheard(self, site: str, engine: EngineName) -> None:
        """Record that an attempt said nothing about the site. If it was the probe, another probe
        may be sent.
        """
        known = self._pairs.get((site, engine))
        if known is not None:
            known.probed, known.probe = 0.0, ""

    def _note(
        self, site: str, uid: str, each: EngineAttempt, now: float, retry_after: float | None
    ) -> None:
        breaker = self._at(site, each.engine)
        probed = breaker.probed > 0.0
        breaker.probed, breaker.probe = 0.0, ""
        if each.reason in _ANSWERED or each.proof:
            breaker.failures, breaker.pause, breaker.until, breaker.last = 0, 0.0, 0.0, ""
            self._open.discard((site, each.engine))
            return
        if breaker.last != uid:
            breaker.failures, breaker.last = breaker.failures + 1, uid
        if breaker.failures >= self._failures or probed:
            # a Retry-After of the site counts only once more than one job was refused: it may
            # concern a single job
            asked = min(retry_after or 0.0, LONGEST_ASKED)
            grown = min(LONGEST_PAUSE, 2 * breaker.pause) if probed else breaker.pause
            breaker.pause = max(grown, FIRST_PAUSE)
            breaker.until = max(breaker.until, now + max(breaker.pause, asked))
            self._open.add((site, each.engine))

    def _at(self, site: str, engine: EngineName) -> _Breaker:
        key = (site, engine)
        breaker = self._pairs.setdefault(key, _Breaker())
        self._pairs.move_to_end(key)
        self._sites.setdefault(site, set()).add(engine)
        if len(self._pairs) > MOST:
            old, forgotten = next(iter(self._pairs))
            del self._pairs[old, forgotten]
            self._open.discard((old, forgotten))
            self._sites[old].discard(forgotten)
            if not self._sites[old]:
                del self._sites[old]
        return breaker

    def closed_until(self, site: str, now: float, engines: Collection[EngineName] = ()) -> float:
        """When (monotonic seconds) a site can be used again, by the given engines or by any; `now`
        or earlier if it can be used already. One engine that works there is enough.
        """
        asked = self._asked(site, engines)
        if not self._open or not asked:
            return 0.0
        return min(self._open_until(self._pairs[site, each], now) for each in asked)

    def _asked(self, site: str, engines: Collection[EngineName]) -> list[EngineName]:
        """The known engines of a site, limited to `engines` if any are given. Empty if one of those
        is not known there: it may work.
        """
        known = self._sites.get(site, set())
        if engines and not known.issuperset(engines):
            return []
        return sorted(known.intersection(engines) if engines else known)

    @staticmethod
    def _open_until(breaker: _Breaker, now: float, uid: str = "") -> float:
        if breaker.until > now or not breaker.until:
            return breaker.until
        if not breaker.probed or (uid and breaker.probe == uid):
            return 0.0
        return breaker.probed + PROBE_WITHIN

    def avoid(self, site: str, now: float, uid: str) -> list[EngineName]:
        """Engines that a job need not try at a site, because another one works there. Engines that
        this job probes are not included.
        """
        asked = sorted(self._sites.get(site, ()))
        shut = [e for e in asked if self._open_until(self._pairs[site, e], now, uid) > now]
        return shut if len(shut) < len(asked) else []

    def probe(self, site: str, uid: str, now: float) -> None:
        """Record that a job is sent to a site. It becomes the probe of each open breaker whose
        pause is over.
        """
        for engine in self._sites.get(site, ()):
            breaker = self._pairs[site, engine]
            if breaker.until and breaker.until <= now and self._open_until(breaker, now) <= now:
                breaker.probed, breaker.probe = now, uid

    def hold(self, site: str, uid: str) -> None:
        """Record that a job waits because its site refuses us."""
        self._held[uid] = site
        self._new.append(uid)

    def newly_held(self) -> list[str]:
        """Uids of the jobs that began to wait since the last call."""
        found, self._new = self._new, []
        return found

    def forget(self, uid: str) -> None:
        """Record that a job no longer waits for its site."""
        self._held.pop(uid, None)

    def release(self, site: str) -> list[str]:
        """Uids of the jobs that waited for a site. They no longer do so."""
        found = [uid for uid, of in self._held.items() if of == site]
        for uid in found:
            del self._held[uid]
        return found

    def refusing(self, now: float) -> Iterator[Refusing]:
        """Every pair that is not used now."""
        for site, engine in sorted(self._open):
            until = self._open_until(self._pairs[site, engine], now)
            if until > now:
                yield Refusing(site, engine, until - now)
