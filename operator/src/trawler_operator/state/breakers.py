"""Which sites refuse which engine at the moment: a circuit breaker for each pair. Pure.

Closed: it is asked. After some failures in a row it opens: nobody asks for a while. Then one job
may, the probe: what becomes of it closes the breaker, or keeps it open for twice as long.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineAttempt, EngineName

FAILURES: Final = 5
"""In a row, of different jobs: a single link may be bad by itself."""
FIRST_PAUSE: Final = 15.0
LONGEST_PAUSE: Final = 60.0
LONGEST_ASKED: Final = 600.0
"""Seconds of a Retry-After that count for all jobs of a site."""
PROBE_WITHIN: Final = 60.0
"""Seconds after which a probe of which nothing was heard is no probe any more."""
MOST: Final = 2000
"""Pairs that are remembered."""
_REFUSED: Final = frozenset(
    [FailureReason.SITE_ERROR, FailureReason.THROTTLED, FailureReason.TOO_SLOW]
)
_ANSWERED: Final = frozenset(
    [None, FailureReason.NEEDS_LOGIN, FailureReason.UNAVAILABLE, FailureReason.TOO_LARGE]
)
"""The site spoke to the engine as sites do. All else says nothing of it: that an engine does not
take such links, say.
"""


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    last: str = ""
    """Uid of the job that failed last."""
    pause: float = 0.0
    until: float = 0.0
    """Monotonic seconds; 0: it is closed."""
    probed: float = 0.0
    """When a probe was sent that has not been heard of; 0: none."""
    probe: str = ""
    """Uid of the job that is the probe."""


@dataclass(frozen=True)
class Refusing:
    """A site that refuses an engine, for a person or a metric."""

    site: str
    engine: EngineName
    seconds: float
    """Until it is asked again."""


class Breakers:
    """By site and engine; those that were heard of least lately are forgotten."""

    def __init__(self, failures: int = FAILURES) -> None:
        """Open after so many failures; 0: never."""
        self._failures = failures
        self._pairs: OrderedDict[tuple[str, EngineName], _Breaker] = OrderedDict()
        self._sites: dict[str, set[EngineName]] = {}
        """Engines that were asked at a site lately."""
        self._open: set[tuple[str, EngineName]] = set()
        self._held: dict[str, str] = {}
        """Uid of a job that waits for its site → that site."""
        self._new: list[str] = []

    def __bool__(self) -> bool:
        """Whether any is open, or waits for its probe."""
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
        """What engines made of a job. `retry_after`: seconds that the site asked to wait, of the
        last one. Whether the site may be asked again that could not be asked before.
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
        """It said nothing of the site: if it was a probe, another one may be sent."""
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
            # what the site asked for counts only where more than one job was refused: it may be
            # about that one
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
        """When (monotonic seconds) somebody may ask a site again, by some engines or by any; `now`
        or before where that is so already. As long as one engine has luck there, that is so.
        """
        asked = self._asked(site, engines)
        if not self._open or not asked:
            return 0.0
        return min(self._open_until(self._pairs[site, each], now) for each in asked)

    def _asked(self, site: str, engines: Collection[EngineName]) -> list[EngineName]:
        """Engines of which anything is known there. One that was named and is not known may have
        luck.
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
        """Engines that a job need not ask at a site, because another one has luck there. Not those
        that it tries for all others.
        """
        asked = sorted(self._sites.get(site, ()))
        shut = [e for e in asked if self._open_until(self._pairs[site, e], now, uid) > now]
        return shut if len(shut) < len(asked) else []

    def probe(self, site: str, uid: str, now: float) -> None:
        """A job is sent there: of an open breaker whose time is over it is the probe."""
        for engine in self._sites.get(site, ()):
            breaker = self._pairs[site, engine]
            if breaker.until and breaker.until <= now and self._open_until(breaker, now) <= now:
                breaker.probed, breaker.probe = now, uid

    def hold(self, site: str, uid: str) -> None:
        """A job waits because of that."""
        self._held[uid] = site
        self._new.append(uid)

    def newly_held(self) -> list[str]:
        """Uids of those who began to wait since this was asked last."""
        found, self._new = self._new, []
        return found

    def forget(self, uid: str) -> None:
        """It waits no more."""
        self._held.pop(uid, None)

    def release(self, site: str) -> list[str]:
        """Uids of those who waited for a site; they do so no more."""
        found = [uid for uid, of in self._held.items() if of == site]
        for uid in found:
            del self._held[uid]
        return found

    def refusing(self, now: float) -> Iterator[Refusing]:
        """Every pair that is not asked now."""
        for site, engine in sorted(self._open):
            until = self._open_until(self._pairs[site, engine], now)
            if until > now:
                yield Refusing(site, engine, until - now)
