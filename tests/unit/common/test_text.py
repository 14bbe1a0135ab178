"""Text from strangers made plain."""

import pytest

from trawler_common.text import cut, sanitize

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
BURNING = "\u2764\ufe0f\u200d\U0001f525"
TONED = "\U0001f44b\U0001f3fd\u200d\u2642\ufe0f"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
HINDI = "\u0915\u094d\u200d\u0937"
MALAYALAM = "\u0d28\u0d4d\u200c\u0d1f"


@pytest.mark.parametrize("text", [FAMILY, BURNING, TONED, PERSIAN, HINDI, MALAYALAM])
def test_a_joiner_stays_where_it_joins(text: str) -> None:
    """Else a family falls apart, and words are spelled wrongly."""
    assert sanitize(text, limit=100) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("pay\u200cpal", "paypal"),
        ("pay\u200dpal", "paypal"),
        ("\u200dstart", "start"),
        ("end\u200c", "end"),
        ("\u0645\u200c\u200c\u062e", "\u0645\u062e"),
        ("a\u202eb\u2066c", "abc"),
        ("one\r\n\ttwo", "one two"),
    ],
)
def test_what_shows_nothing_goes(text: str, plain: str) -> None:
    """A joiner between Latin letters only hides a word from a filter."""
    assert sanitize(text, limit=100) == plain


def test_a_text_is_not_cut_inside_of_what_is_joined() -> None:
    """No joiner is left hanging at the end."""
    assert cut(FAMILY, len(FAMILY.encode()) - 4) == "\U0001f468\u200d\U0001f469"
    assert cut("\u00fc\u00fc", 3) == "\u00fc"
