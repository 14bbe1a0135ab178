"""What an agent says it has room for."""

from trawler_crds.messages import Order, Stage
from trawler_worker.agent.board import MOST_REMEMBERED, REMEMBERED, Board, Work


def work(board: Board, uid: str, stage: Stage) -> Work:
    order = Order(uid=uid, name=uid, attempt=1, url="http://a/", attempt_seconds=9)
    found = Work(order=order, stage=stage)
    board.works[found.key] = found
    return found


def test_a_job_that_stores_leaves_its_slot_to_the_next() -> None:
    """And that is worth a presence at once."""
    board = Board(slots=2)
    first = work(board, "a", Stage.FETCHING)
    work(board, "b", Stage.PROVING)
    assert 0 == board.free()
    board.changed.clear()
    board.move(first, Stage.STORING)
    assert 1 == board.free()
    assert board.changed.is_set()


def test_a_store_that_is_away_does_not_let_jobs_pile_up() -> None:
    """At most twice the slots are in hand."""
    board = Board(slots=2)
    for n in range(4):
        work(board, f"u{n}", Stage.STORING)
    assert 0 == board.free()


def test_a_draining_pod_has_no_room() -> None:
    """However idle it is."""
    board = Board(slots=2)
    board.draining = True
    assert 0 == board.free()


def test_a_pod_for_one_job_takes_one_and_begins_to_leave() -> None:
    """`jobsPerPod`: the operator sees it drain and starts its successor."""
    board = Board(slots=2, jobs=1)
    assert 1 == board.free()
    order = Order(uid="a", name="a", attempt=1, url="http://a/", attempt_seconds=9)
    board.take(Work(order=order))
    assert (0, True) == (board.free(), board.draining)


def test_an_attempt_that_ended_is_remembered_for_a_while_and_only_so_many() -> None:
    """It is not begun a second time, whoever orders it again; nor does a pod grow by each that it had."""
    now = [0.0]
    board = Board(slots=1, now=lambda: now[0])
    for number in range(MOST_REMEMBERED + 1):
        board.end(work(board, f"u{number}", Stage.REPORTING))
    assert (f"u{MOST_REMEMBERED}", 1) in board.ended
    assert ("u0", 1) not in board.ended
    assert MOST_REMEMBERED == len(board.ended)
    assert {} == board.works
    now[0] = REMEMBERED + 1.0
    board.end(work(board, "late", Stage.REPORTING))
    assert [("late", 1)] == list(board.ended)
