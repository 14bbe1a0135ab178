"""Writes `docs/texts.md`: every sentence in every language, with the place where it appears.

python -m trawler_bot.presentation.texts_page docs/texts.md
"""

import sys
from pathlib import Path
from typing import Final

from trawler_bot.presentation.i18n import CATALOGUES, ENGLISH, Language

HEAD: Final = """# What the bot says

Generated from `bot/src/trawler_bot/presentation/locales/*.po` by `make texts`. A language is one
file there: copy `en.po` to `<tag>.po` (a tag of Discord's locales), translate, and run
`make texts`; a test says what is missing. In braces stand values; `{name_…}` and `{button_…}` are
names of commands, options and buttons in the same language.
"""


def page() -> str:
    """The whole page."""
    languages = [ENGLISH, *(each for each in CATALOGUES if each != ENGLISH)]
    head = [f"| key | where | {' | '.join(languages)} |", "|---" * (len(languages) + 2) + "|"]
    rows = [_row(key, languages) for key in CATALOGUES[ENGLISH].entries]
    return "\n".join([HEAD, *head, *rows, ""])


def _row(key: str, languages: list[Language]) -> str:
    cells = [_cell(CATALOGUES[language].entries[key].string) for language in languages]
    place = " ".join(CATALOGUES[ENGLISH].entries[key].auto_comments)
    return f"| `{key}` | {place} | {' | '.join(cells)} |"


def _cell(string: object) -> str:
    forms = [string] if isinstance(string, str) else list(string)  # type: ignore[call-overload]
    return "<br>".join(form.replace("|", "\\|").replace("\n", "<br>") for form in forms)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
