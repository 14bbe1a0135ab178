"""What tests read of the site."""

from trawler_sandbox.journal import Journal


def test_only_a_get_from_the_first_to_the_last_byte_is_a_download() -> None:
    """Not a HEAD, not a resumed part, not one that broke off."""
    journal = Journal()
    for method, begin, complete in (
        ("GET", 0, True),
        ("HEAD", 0, True),
        ("GET", 5, True),
        ("GET", 0, False),
    ):
        journal.open("/video/a.mp4", method, begin=begin, size=9).complete = complete
    assert len(journal.downloads("a.mp4")) == 1
    assert journal.downloads("b.mp4") == []


def test_the_journal_is_bounded() -> None:
    """It runs for days on a developer's machine."""
    journal = Journal(most=3)
    for n in range(9):
        journal.open(f"/{n}", "GET", begin=0, size=1)
    assert [entry.path for entry in journal.entries()] == ["/6", "/7", "/8"]
