"""What counts as an address: one strict grammar for bot, API server and worker.

Refuse instead of normalise: clients disagree about odd spellings, so none is let in. The rules
are regular expressions in the common subset of RE2 (CEL) and Python, written once here.
"""

import re
from typing import Final

_LABEL: Final = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_LAST: Final = "[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])"
_HOST: Final = rf"(({_LABEL}[.])*{_LAST}[.]?|{_OCTET}([.]{_OCTET}){{3}}|\[[0-9A-Fa-f:]{{2,39}}\])"
_PORT: Final = "(:[1-9][0-9]{0,4})?"

MAX_URL: Final = 2048

URL_RULES: Final[tuple[tuple[str, bool, str], ...]] = (
    ("^https?://", True, "must begin with http:// or https://"),
    (
        "^[!-~]+$",
        True,
        "may hold printable ASCII only: no spaces; write other letters as %XX, and"
        " international host names in their xn-- form",
    ),
    ("^https?://[^/?#]*@", False, "must not carry a user name or password"),
    (r"[\\]", False, "must not contain a backslash"),
    ("__youtubedl_smuggle", False, "must not carry smuggled options"),
    (
        f"^https?://{_HOST}{_PORT}([/?#]|$)",
        True,
        "must name a host in plain form: a DNS name, four decimal numbers, or an IPv6 address"
        " in brackets, with an optional port",
    ),
)
"""(pattern, must it be found, what to tell the person)."""

_COMPILED: Final = tuple((re.compile(rule), wanted, why) for rule, wanted, why in URL_RULES)


def fault(url: str) -> str | None:
    """Say what is wrong with an address, or None where it is well formed.

    Says nothing about where it leads: that is judged when a connection is made.
    """
    if len(url) > MAX_URL:
        return f"must be at most {MAX_URL} characters"
    if "\n" in url:  # `$` of Python matches before a final newline; RE2's does not
        return URL_RULES[1][2]
    for pattern, wanted, why in _COMPILED:
        if bool(pattern.search(url)) is not wanted:
            return why
    return None


def cel_rules() -> tuple[tuple[str, str], ...]:
    """The same rules for the API server."""
    return tuple(
        (
            ("" if wanted else "!") + f"self.matches(r'{pattern}')",
            f"url {why}",
        )
        for pattern, wanted, why in URL_RULES
    )
