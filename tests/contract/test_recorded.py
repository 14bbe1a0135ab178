"""What earlier releases wrote is read, and what others rely on keeps its name.

The files in `recorded/` were written by the code of commit 3eecce0: objects, messages of the bus,
custom ids and a dump of the bot's database. `names.json` lists what dashboards, log searches and
tests rely on, as of 4d0547f: a name may be added to it, and none may go.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from trawler_bot.interactions import components
from trawler_bot.jobs import ids
from trawler_bot.presentation import rendering
from trawler_bot.presentation.rendering import Act
from trawler_common.failpoints import Failpoint
from trawler_crds import keys, messages, subjects
from trawler_crds.contract import Contract
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob
from trawler_crds.media_queue import MediaQueue
from trawler_crds.worker_pool import WorkerPool

ROOT: Final = Path(__file__).parents[2]
RECORDED: Final = Path(__file__).parent / "recorded"
KINDS: Final[dict[str, type[Contract]]] = {
    "MediaJob": MediaJob,
    "MediaQueue": MediaQueue,
    "WorkerPool": WorkerPool,
}
PATTERNS: Final = {
    "events": r"\blog\.(?:debug|info|warning|error|exception)\(\s*\"([a-z0-9_]+)\"",
    "loggers": r"\blogs\.get\(\"([a-z0-9_ ]+)\"\)",
    "metrics": r"\"(trawler_[a-z_]+)\"",
    "variables": r"\"(TRAWLER_[A-Z_]+)\"",
}


def recorded(name: str) -> Any:
    return json.loads((RECORDED / name).read_text())


def within(old: Any, new: Any) -> bool:
    """Whether all that was said then is still said."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(within(old[key], new.get(key)) for key in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(within, old, new))
    return bool(old == new)


def names(folder: Path) -> dict[str, set[str]]:
    """Every name that others rely on, in the code of the services."""
    code = "\n".join(
        path.read_text()
        for service in ("crds", "common", "operator", "worker", "bot")
        for path in (folder / service / "src").rglob("*.py")
    )
    found = {kind: set(re.findall(pattern, code)) for kind, pattern in PATTERNS.items()}
    return {
        **found,
        "keys": {value for name, value in vars(keys).items() if name.isupper()},
        "failpoints": {str(point) for point in Failpoint},
        "reasons": {str(reason) for reason in FailureReason},
    }


@pytest.mark.parametrize(
    "each", recorded("objects.json"), ids=lambda each: each["metadata"]["name"]
)
def test_an_object_of_an_earlier_release_is_read(each: dict[str, Any]) -> None:
    """And nothing that it says is lost when it is written again."""
    now = KINDS[each["kind"]].model_validate(each).wire()
    assert within(each["spec"], now["spec"])
    assert within(each.get("status", {}), now.get("status", {}))


@pytest.mark.parametrize("each", recorded("messages.json"), ids=lambda each: each["model"])
def test_a_message_of_an_earlier_release_is_read(each: dict[str, Any]) -> None:
    model: type[Contract] = getattr(messages, each["model"])
    assert within(each["body"], model.model_validate(each["body"]).wire())


def test_subjects_of_the_bus_have_the_same_form() -> None:
    for name, subject in recorded("subjects.json").items():
        words = subject.split(".")
        given = [words[1], words[3], *([words[4]] if len(words) == 6 else [])]
        assert subject == getattr(subjects, name)(*given)


@pytest.mark.parametrize("each", recorded("custom_ids.json")["presses"], ids=lambda it: it["act"])
def test_a_button_of_an_earlier_release_works(each: dict[str, str]) -> None:
    """Messages with it stay in channels for ever."""
    found = re.fullmatch(components.PATTERN, each["custom_id"])
    assert found is not None
    assert (each["act"], each["job"]) == (found["act"], found["job"])
    assert each["custom_id"] == rendering.custom_id(Act(each["act"]), each["job"])


def test_a_menu_of_an_earlier_release_works() -> None:
    assert re.fullmatch(components.PICK_PATTERN, recorded("custom_ids.json")["pick"])


def test_names_that_follow_from_discords_are_the_same() -> None:
    """Else a repeated request would make a second job, and a crash a second message."""
    made = {
        "job": ids.job(123, 2),
        "again": ids.again("d-123"),
        "again2": ids.again("d-123-r1"),
        "before": ids.before("d-123-r2"),
        "first": ids.first("d-123-r2"),
        "nonce": ids.nonce("u-1", "message"),
        "recent": ids.recent(5),
        "queue": ids.queue(9),
    }
    assert recorded("custom_ids.json")["names"] == made


@pytest.mark.parametrize("kind", sorted(recorded("names.json")))
def test_what_others_rely_on_keeps_its_name(kind: str) -> None:
    assert [] == sorted(set(recorded("names.json")[kind]) - names(ROOT)[kind])
