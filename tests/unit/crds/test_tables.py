"""Reasons, subjects and keys."""

import pytest

from trawler_crds import failures, keys, subjects


def test_every_reason_has_a_sentence_a_person_reads() -> None:
    """Nothing else ever reaches a channel."""
    assert set(failures.FailureReason) == set(failures.FAILURES)
    for rule in failures.FAILURES.values():
        assert rule.sentence.endswith(".")
        assert len(rule.sentence) < 120


@pytest.mark.parametrize(
    ("reason", "retry"),
    [
        ("BadAddress", "never"),
        ("SiteError", "yes"),
        ("WorkerLost", "yes"),
        ("TooLong", "never"),
        ("Throttled", "not before"),
        ("OutOfMemory", "once, alone in a pod"),
    ],
)
def test_the_table_says_what_is_retried(reason: str, retry: str) -> None:
    """As in the design, section 3."""
    assert retry == failures.FAILURES[failures.FailureReason(reason)].retry


def test_a_subject_names_its_speaker() -> None:
    """Pod and job are read from the subject, never from the payload."""
    found = subjects.sender(subjects.results("ns", "pod-1", "uid-1"))
    assert ("pod-1", "uid-1") == (found.pod, found.uid)
    assert subjects.Sender(pod="p", uid=None) == subjects.sender(subjects.presence("ns", "p"))
    with pytest.raises(ValueError, match="not a subject"):
        subjects.sender("trawler.ns.queues.a.positions.extra.more")


def test_an_object_lies_under_its_hash() -> None:
    """Equal bytes are stored once."""
    assert keys.object_key("media", "ab" * 32) == "media/sha256/ab/" + "ab" * 32
