"""Traces and log lines."""

import json
import logging

from opentelemetry import trace

from trawler_common import logs, telemetry


def _trace_id(context: object) -> int:
    return trace.get_current_span(context).get_span_context().trace_id  # type: ignore[arg-type]


def test_a_job_without_a_trace_has_one_that_follows_from_its_uid() -> None:
    """Every process, also after a restart, finds the same."""
    first, again = telemetry.root("uid-1", None), telemetry.root("uid-1", None)
    assert _trace_id(first) == _trace_id(again) != _trace_id(telemetry.root("uid-2", None))


def test_the_trace_of_whoever_asked_is_taken_up() -> None:
    """The annotation on the MediaJob."""
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert 0x4BF92F3577B34DA6A3CE929D0E0E4736 == _trace_id(telemetry.root("uid-1", given))
    assert _trace_id(telemetry.root("u", None)) == _trace_id(telemetry.root("u", "nonsense"))


def test_a_log_line_is_one_json_object_with_the_job() -> None:
    """Whatever text is in it."""
    record = logging.makeLogRecord({"name": "trawler.x", "msg": "a\nb", "attempt": 2})
    token = logs.job_uid.set("uid-9")
    try:
        line = logs.JsonFormatter("worker").format(record)
    finally:
        logs.job_uid.reset(token)
    assert "\n" not in line
    found = json.loads(line)
    assert ("a\nb", "uid-9", 2, "worker") == (
        found["event"],
        found["job"],
        found["attempt"],
        found["service"],
    )


def test_without_a_receiver_a_log_line_still_names_the_jobs_trace() -> None:
    """So that lines of several processes about one job are found together."""
    with telemetry.span("write", parent=telemetry.root("uid-1", None)):
        line = logs.JsonFormatter("x").format(
            logging.makeLogRecord({"name": "trawler.x", "msg": "phase"})
        )
    assert format(_trace_id(telemetry.root("uid-1", None)), "032x") == json.loads(line)["trace"]
    assert not trace.get_current_span().get_span_context().is_valid
