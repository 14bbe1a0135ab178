"""Nothing lost, nothing twice: a search over what may happen, in any order, at any moment."""

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from objects import job, pool, queue
from simulation import Operator, Simulation
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import TERMINAL, MediaFile, Phase, Reuse
from trawler_crds.messages import Outcome, Result, Stage
from trawler_operator.state.cluster_state import WAITS
from trawler_operator.state.resting import wait
from trawler_operator.state.usage import DailyUsage

SKEW = 600.0
"""Seconds by which a clock is wrong."""
INDEX = st.integers(0, 40)
QUEUES = ["default", "capped", "small", "paused", "nobody-declared"]


AFTER = st.sampled_from([0, 1, 2, 9, 9, 9])
"""Steps that all effects go after something happened: often all of them, sometimes none."""


def event(**strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule after which time goes on: what is decided goes some steps, or to its end."""

    def wrap(happens: Callable[..., None]) -> Any:
        @functools.wraps(happens)
        def run(self: "Machine", after: int, **drawn: Any) -> None:
            happens(self, **drawn)
            self.moment(after)

        run.__dict__.pop("__wrapped__")  # the parameters of `run` are the ones that count
        return cast("Any", rule)(after=AFTER, **strategies)(run)

    return wrap


class Machine(RuleBasedStateMachine):
    """Rules are what people, sites, pods, the network and the machine do."""

    def __init__(self) -> None:
        super().__init__()
        queues = [
            queue("capped", maxRunning=1, weight=3),
            queue("small", maxQueued=2, dailyBytes=1000),
            queue("paused", paused=True),
        ]
        self.world = Simulation(pool(replicas=2, maxAttemptSeconds=300), queues)
        self.count = 0
        self.ended: dict[str, tuple[Phase, int]] = {}
        self.late: set[tuple[str, int]] = set()
        """Attempts that an earlier leader began after another one led."""

    @initialize()
    def begin(self) -> None:
        self.world.operator = Operator(self.world)
        self._round()
        for number, name in enumerate(("default", "default", "capped", "capped")):
            self._ask(number, name, 1, "Always")

    def _operator(self) -> Operator:
        assert self.world.operator is not None
        return self.world.operator

    # people -----------------------------------------------------------------------------------

    @event(
        link=st.integers(0, 3),
        name=st.sampled_from(QUEUES),
        backoff=st.integers(0, 2),
        ttl=st.sampled_from([0, 60, 86400]),
        reuse=st.sampled_from(["Always", "Always", "Never"]),
    )
    def submit(self, link: int, name: str, backoff: int, ttl: int, reuse: str) -> None:
        self._ask(link, name, backoff, reuse, ttl)

    def _ask(self, link: int, name: str, backoff: int, reuse: str, ttl: int = 86400) -> None:
        self.count += 1
        self.world.api.put(
            job(
                f"u{self.count}",
                url=f"http://site:8080/video/{link}.mp4",
                queue=name,
                backoffLimit=backoff,
                reuse=reuse,
                ttlSecondsAfterFinished=ttl,
                limits={"maxBytes": 400},
                created=f"2027-01-15T08:{self.count % 60:02}:00Z",
            )
        )

    @precondition(lambda self: self.world.active())
    @event(
        which=st.integers(0, 2),
        what=st.sampled_from(["cancel", "suspend", "resume", "delete", "priority"]),
    )
    def a_person_changes_a_job(self, which: int, what: str) -> None:
        newest = self.world.active()[::-1]
        found = newest[which % len(newest)]
        edits: dict[str, dict[str, Any]] = {
            "cancel": {"cancel": True},
            "suspend": {"suspend": True},
            "resume": {"suspend": False},
            "priority": {"priority": which * 4},
        }
        if what == "delete":
            self.world.api.delete(found.uid)
        else:
            self.world.api.edit(found.uid, **edits[what])

    # the operator -----------------------------------------------------------------------------

    def moment(self, steps: int) -> None:
        """Half a second: the watch and the presences arrive, the operator decides and acts."""
        self.world.now += 0.5
        if self.world.operator is None:
            return
        if steps:
            self.world.deliver_events()
        for worker in self.world.workers.values():
            if not worker.frozen:
                worker.speak()
                self.world.deliver_presence(worker, 0 if steps else -1)
        operator = self.world.operator
        operator.turn()
        for _ in range(steps):
            for key in tuple(operator.effects):
                operator.step(key)

    @precondition(lambda self: self.world.operator and self.world.operator.effects)
    @event(which=INDEX, lost=st.sampled_from(["nothing", "request", "reply"]))
    def an_effect_goes_a_step(self, which: int, lost: str) -> None:
        self.world.lose = lambda: lost
        effects = list(self._operator().effects)
        self._operator().step(effects[which % len(effects)])
        self.world.lose = lambda: "nothing"

    @precondition(lambda self: self.world.old and self.world.old.effects)
    @event(which=INDEX, lost=st.sampled_from(["nothing", "request", "reply"]))
    def the_old_leader_goes_a_step(self, which: int, lost: str) -> None:
        """Late, and with what it knew then."""
        old = self.world.old
        assert old is not None
        self.world.lose = lambda: lost
        effects = list(old.effects)
        before = self._running()
        old.step(effects[which % len(effects)])
        self.late |= self._running() - before
        self.world.lose = lambda: "nothing"

    def _running(self) -> set[tuple[str, int]]:
        jobs = self.world.api.jobs.values()
        return {(j.uid, j.status.attempt) for j in jobs if j.status.phase is Phase.RUNNING}

    # pods -------------------------------------------------------------------------------------

    def _worker(self, which: int) -> Any:
        workers = list(self.world.workers.values())
        return workers[which % len(workers)] if workers else None

    @event(
        which=INDEX,
        held=INDEX,
        outcome=st.sampled_from(["Stored", "Site", "Missing"]),
        lingers=st.sampled_from([False, False, False, True]),
    )
    def a_fetch_ends(self, which: int, held: int, outcome: str, *, lingers: bool) -> None:
        worker = self._worker(which)
        running = [] if worker is None else [k for k in worker.held if k not in worker.results]
        if running and not worker.frozen:
            uid, attempt = running[held % len(running)]
            self._end(worker, uid, attempt, outcome)
            if lingers:
                self._linger()

    def _linger(self) -> None:
        """Stored, but not reported for the length of a longest attempt, in which the garbage
        collector passes.
        """
        for _ in range(2):
            for _ in range(15):
                self.world.now += 20.0
                self.moment(9)
            if self.world.operator is not None:
                self.world.operator.sweep()
            self.moment(9)

    def _end(self, worker: Any, uid: str, attempt: int, outcome: str) -> None:
        known = self.world.api.jobs.get(uid)
        url = known.spec.url if known else uid
        if outcome == "Stored":
            sha256 = hashlib.sha256(url.encode()).hexdigest()
            operator = self.world.operator if self.world.bus else None
            if operator is None or not operator.grant(worker.name, uid, attempt, sha256):
                return  # it goes on asking
            self.world.store.add(sha256)
            file = MediaFile(name="a.mp4", bytes=100, sha256=sha256, type="video/mp4")
            result = Result(attempt=attempt, outcome=Outcome.STORED, files=[file])
        else:
            reason = FailureReason.SITE_ERROR if outcome == "Site" else FailureReason.NOTHING_FOUND
            result = Result(attempt=attempt, outcome=Outcome.FAILED, reason=reason)
        worker.held[uid, attempt] = Stage.REPORTING
        worker.results[uid, attempt] = result

    @event(which=INDEX, held=INDEX, answer_lost=st.booleans())
    def a_pod_reports(self, which: int, held: int, *, answer_lost: bool) -> None:
        worker, operator = self._worker(which), self.world.operator
        if worker is None or operator is None or not worker.results or not self.world.bus:
            return
        uid, attempt = list(worker.results)[held % len(worker.results)]
        result = worker.results[uid, attempt]
        if operator.record(worker.name, uid, result) and not answer_lost:
            worker.drop(uid, attempt)

    @precondition(lambda self: self.world.operator and self.world.active())
    @event(which=INDEX, whose=INDEX, shift=st.sampled_from([-1, 0, 1]))
    def somebody_forges_a_report(self, which: int, whose: int, shift: int) -> None:
        """Another pod, or another attempt: nothing changes."""
        worker, jobs = self._worker(which), self.world.active()
        found = jobs[whose % len(jobs)]
        attempt = max(0, found.status.attempt + shift)
        name = worker.name if worker is not None else "nobody"
        if attempt == found.status.attempt and found.status.worker == name:
            name = "nobody"
        forged = Result(attempt=attempt, outcome=Outcome.FAILED, reason=FailureReason.INTERNAL)
        self._operator().record(name, found.uid, forged)
        assert self.world.api.jobs[found.uid] == found

    @precondition(lambda self: self.world.operator)
    @event(later=st.sampled_from([0.0, 0.0, 300.0]))
    def the_broom_passes(self, later: float) -> None:
        self.world.now += later
        self._operator().sweep()

    @event(count=st.integers(0, 9))
    def a_list_goes_on(self, count: int) -> None:
        """It began some time ago: what it shows is older than what the watch told meanwhile."""
        if self.world.listed is None:
            self.world.begin_list()
        else:
            self.world.list_on(count)

    # the machine ------------------------------------------------------------------------------

    @event(
        what=st.sampled_from(
            [
                "operator",
                "another leads",
                "pod dies",
                "pod hangs",
                "bus",
                "api",
                "api, after it did it",
                "clock",
            ]
        ),
        which=INDEX,
    )
    def something_breaks(self, what: str, which: int) -> None:
        world, worker = self.world, self._worker(which)
        match what:
            case "operator":
                world.operator = None if world.operator else Operator(world)
            case "another leads":
                world.take_over()
            case "pod dies" if worker is not None:
                world.kill_worker(worker.name)
            case "pod hangs" if worker is not None:
                worker.frozen = not worker.frozen
            case "bus":
                world.bus, world.bus_since = not world.bus, world.now
            case "api" | "api, after it did it":
                world.api.failing, world.api.committing = 1 + which % 3, what != "api"
            case "clock":
                world.skew = (-SKEW, 0.0, SKEW)[which % 3]

    @event(seconds=st.sampled_from([0.5, 3.0, 31.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    # what always holds ------------------------------------------------------------------------

    @invariant()
    def an_attempt_was_given_to_one_pod(self) -> None:
        assert all(len(pods) == 1 for pods in self.world.given.values())

    @invariant()
    def an_end_is_an_end(self) -> None:
        for found in self.world.api.jobs.values():
            if found.status.phase in TERMINAL:
                now = (found.status.phase, found.status.attempt)
                assert self.ended.setdefault(found.uid, now) == now

    @invariant()
    def success_has_its_objects(self) -> None:
        for found in self.world.api.jobs.values():
            if found.status.phase is Phase.SUCCEEDED:
                assert {file.sha256 for file in found.status.files or ()} <= self.world.store

    @invariant()
    def who_must_be_alone_is(self) -> None:
        """By what the leader decides. What an earlier one still writes late, into a pod that was
        given away meanwhile, the Lease keeps from happening (ADR 0013), and this search does not.
        """
        if self.world.operator is not None:
            assert [] == self.world.operator.crowded

    @invariant()
    def counters_equal_a_recount(self) -> None:
        if self.world.operator is None:
            return
        state = self.world.operator.state
        queued = {**state.by_phase[Phase.QUEUED]}
        queued |= {uid: state.jobs[uid] for uid in state.pending.let_in()}
        lanes = [
            uid
            for p in state.pending.pools()
            for lane in state.pending.lanes(p).values()
            for _, _, uid in lane
        ]
        assert sorted(lanes) == sorted(queued)
        ready = [
            each
            for p in state.pending.pools()
            for queue in state.pending.queues(p)
            for uid in state.pending.ready(p, queue)
            for each in (uid, *state.pending.behind(uid))
        ]
        aside = {uid for uid, j in queued.items() if j.held_back or uid in state.resting}
        assert sorted(ready) == sorted({*ready} - aside)
        worked_on = self.world.operator.effects.keys() | state.dirty.keys()
        assert queued.keys() - aside - worked_on <= {*ready}
        for uid in ready:
            rest = wait(queued[uid], state.returned.get(uid, 0))
            assert state.since[uid] + rest <= self.world.now
        assert state.pods.keys() == {found.name for found in state.pods_of("default")}
        for name in QUEUES:
            mine = [found for found in queued.values() if state.pending.queue_of(found) == name]
            assert state.pending.count(name) == len(mine)
        recount = DailyUsage()
        for found in state.jobs.values():
            recount.see(found)
        for day in ("2027-01-15", "2027-01-16"):
            assert +state.usage.reserved(day) == +recount.reserved(day)
            used = state.usage.used("default", day)
            declared = state.queues.keys() - {"default"}
            sums = (state.usage.reserved(day), state.usage.settled(day))
            assert used == sum(n for s in sums for q, n in s.items() if q not in declared)
        running = state.by_phase[Phase.RUNNING].values()
        handed = [j for uid, _ in state.reserved if (j := state.jobs.get(uid)) is not None]
        shares = Counter(state.pending.queue_of(found) for found in running)
        shares.update(state.pending.queue_of(j) for j in handed if j.status.phase in WAITS)
        assert shares == state.running()
        assert {q: state.running_in(q) for q in shares} == dict(shares)
        where = {(found.status.worker, found.uid) for found in running}
        assert where == {(w, uid) for w, jobs in state.by_worker.items() for uid in jobs}
        shared = {
            state.duplicates.fingerprint(found)
            for found in running
            if found.spec.reuse is Reuse.ALWAYS
        }
        assert shared == set(state.fetched())
        names = Counter(sha256 for job in state.finished for sha256 in job.hashes)
        assert set(names) == set(state.finished.named())
        assert len(state.finished) == sum(state.finished.count.values())

    @invariant()
    def caps_hold(self) -> None:
        running = [
            found
            for found in self.world.api.jobs.values()
            if found.status.phase is Phase.RUNNING
            and found.spec.queue == "capped"
            and (found.uid, found.status.attempt) not in self.late
        ]
        assert len(running) <= 1

    # the end ----------------------------------------------------------------------------------

    def _round(self) -> None:
        """One second in which nothing goes wrong."""
        world = self.world
        assert world.operator is not None
        world.now += 1.0
        world.deliver_events()
        for worker in world.workers.values():
            worker.said.clear()
            if not worker.frozen:
                worker.speak()
                world.deliver_presence(worker, 0)
        world.operator.turn()
        while world.operator.effects:
            for key in tuple(world.operator.effects):
                world.operator.step(key)
        for worker in tuple(world.workers.values()):
            for uid, attempt in () if worker.frozen else tuple(worker.held):
                if (uid, attempt) not in worker.results:
                    # some sites need a second try, some have nothing
                    outcome = ("Stored", "Site", "Stored", "Missing")[int(uid[1:]) % 4]
                    self._end(worker, uid, attempt, "Stored" if attempt > 1 else outcome)
                result = worker.results.get((uid, attempt))
                if result is not None and world.operator.record(worker.name, uid, result):
                    worker.drop(uid, attempt)

    def teardown(self) -> None:
        """Everything is mended: now all that can end must end, and nothing be left."""
        world = self.world
        world.api.failing, world.old = 0, None
        if not world.bus:
            world.bus, world.bus_since = True, world.now
        if world.operator is None:
            world.operator = Operator(world)
        for _ in range(400):
            if all(world.waits_for_a_person(found) for found in world.active()):
                break
            self._round()
        left = [found for found in world.active() if not world.waits_for_a_person(found)]
        assert left == [], [(f.uid, f.status) for f in left]
        for _ in range(40):  # a lost cancel is said again after 30 s at most
            self._round()
            held = {
                key for worker in world.workers.values() if not worker.frozen for key in worker.held
            }
            if not held:
                break
        assert held == set()
        assert world.operator.state.reserved == {}
        world.now += 300.0 + 2 * SKEW  # the clock may have been set back since a job ended
        for _ in range(8):  # what was kept long enough goes, some of it in each turn
            self._round()
        for _ in range(3):  # nothing that nobody names stays in the store
            world.now += 300.0
            world.operator.sweep()
            self._round()
        names = {f.sha256 for found in world.api.jobs.values() for f in found.status.files or ()}
        assert world.store == names
        self.counters_equal_a_recount()


RUNS = os.environ.get("TRAWLER_RUNS")

TestMachine = pytest.mark.heavy(pytest.mark.timeout(3600)(Machine.TestCase))
TestMachine.settings = settings(
    max_examples=int(RUNS or 2000),
    stateful_step_count=50,
    # the same runs each time, unless somebody asks for a number of them: then others
    derandomize=RUNS is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
