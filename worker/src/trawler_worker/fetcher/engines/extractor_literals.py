"""The literals that an address or a page must contain for an extractor of yt-dlp to match. They are
derived from its patterns and kept in a file, since parsing 1,750 patterns takes a fifth of a
fetcher's start-up time (measured).

    python -m trawler_worker.fetcher.engines.extractor_literals  # or `make literals`
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yt_dlp.version
from yt_dlp.extractor.common import InfoExtractor

VERSION: Final = yt_dlp.version.__version__
FILE: Final = Path(__file__).with_suffix(".json")
GRAM: Final = 4
"""Characters of a look-up key. Shorter literals are not selective enough."""

# The standard library's own parser. Its trees are not public, hence the test over all patterns.
_parser: Final[Any] = re._parser  # type: ignore[attr-defined]  # noqa: SLF001
_op: Final[Any] = re._constants  # type: ignore[attr-defined]  # noqa: SLF001

_EVERYWHERE: Final = "https://www."
_LOOKS_ITSELF: Final = ("extract_from_webpage", "_extract_from_webpage", "_extract_embed_urls")

Literals = frozenset[str]


def needed(pattern: str) -> Literals | None:
    """Lower-case literals of which every match contains at least one; None if there are none."""
    found = _best(_parser.parse(pattern))
    return None if found is None else frozenset(found)


def _best(nodes: Iterable[tuple[Any, Any]]) -> list[str] | None:
    """The most selective of the alternatives that a sequence requires."""
    offers = [offer for offer in _offers(nodes) if offer and min(map(_weight, offer)) >= GRAM]
    return max(offers, key=lambda offer: (min(map(_weight, offer)), -len(offer)), default=None)


def _offers(nodes: Iterable[tuple[Any, Any]]) -> Iterator[list[str] | None]:
    run = ""
    for op, value in nodes:
        if op is _op.LITERAL:
            run += chr(value)
            continue
        yield [run.lower()]
        run = ""
        if op is _op.SUBPATTERN:
            yield _best(value[3])
        elif op in (_op.MAX_REPEAT, _op.MIN_REPEAT, _op.POSSESSIVE_REPEAT) and value[0] > 0:
            yield _best(value[2])
        elif op is _op.ATOMIC_GROUP:
            yield _best(value)
        elif op is _op.BRANCH:
            branches = [_best(branch) for branch in value[1]]
            yield (
                [word for branch in branches if branch for word in branch]
                if all(branches)
                else None
            )
    yield [run.lower()]


def _weight(literal: str) -> int:
    return 0 if literal in _EVERYWHERE else len(literal)


def _all_needed(patterns: Iterable[str]) -> Literals | None:
    """Like `needed`, for several patterns any of which may match."""
    each = [needed(pattern) for pattern in patterns]
    return None if None in each else frozenset().union(*filter(None, each))


def _overrides(extractor: type, names: Iterable[str]) -> bool:
    owners = extractor.__mro__[: extractor.__mro__.index(InfoExtractor)]
    return any(name in owner.__dict__ for owner in owners for name in names)


def _asks_itself(extractor: type) -> bool:
    """Whether an extractor may accept an address that its pattern does not match.

    Nearly all extractors that override `suitable` do so to leave an address to another extractor,
    and still apply their own pattern.
    """
    overrides = [
        owner.__dict__["suitable"].__func__.__code__.co_names
        for owner in extractor.__mro__[: extractor.__mro__.index(InfoExtractor)]
        if "suitable" in owner.__dict__
    ]
    return _overrides(extractor, ["_match_valid_url"]) or any(
        {"super", "_match_valid_url"}.isdisjoint(names) for names in overrides
    )


def wanted_addresses(extractor: Any) -> Literals | None:
    """Literals of which an address must contain one for this extractor. None: only the extractor
    can tell; empty: it accepts no address.
    """
    if _asks_itself(extractor):
        return None
    patterns = extractor._VALID_URL  # noqa: SLF001
    if patterns in (None, False):
        return frozenset()
    return _all_needed([patterns] if isinstance(patterns, str) else patterns)


def wanted_pages(extractor: Any) -> Literals | None:
    """Literals of which a page must contain one for this extractor to find an embed. None and empty
    as in `wanted_addresses`.
    """
    if _overrides(extractor, _LOOKS_ITSELF):
        return None
    return _all_needed(extractor._EMBED_REGEX)  # noqa: SLF001


class Wanted(NamedTuple):
    """Literals of which an extractor needs one. None: only it can tell; empty: it accepts none."""

    address: Literals | None
    page: Literals | None


def real(extractor: Any) -> Any:
    """The class behind a lazily loaded extractor, or behind an instance."""
    found = extractor if isinstance(extractor, type) else type(extractor)
    return getattr(found, "real_class", found)


def of_all(extractors: Mapping[str, Any]) -> list[Wanted]:
    """The literals of all extractors in order: from the file, if it belongs to this version of
    yt-dlp, otherwise from the patterns.
    """
    if FILE.exists():
        kept = json.loads(FILE.read_bytes())
        if (kept["yt-dlp"], list(kept["extractors"])) == (VERSION, list(extractors)):
            return [Wanted(*map(_thawed, pair)) for pair in kept["extractors"].values()]
    return [_read(extractor) for extractor in extractors.values()]


def _read(extractor: Any) -> Wanted:
    found = real(extractor)
    return Wanted(wanted_addresses(found), wanted_pages(found))


def _thawed(words: list[str] | None) -> Literals | None:
    return None if words is None else frozenset(words)


def written(extractors: Mapping[str, Any]) -> str:
    """The content of the file: one line per extractor, so that a change of yt-dlp is readable."""
    lines = [
        f"{json.dumps(key)}: {json.dumps([None if w is None else sorted(w) for w in _read(found)])}"
        for key, found in extractors.items()
    ]
    table = ",\n".join(lines)
    return f'{{"yt-dlp": {json.dumps(VERSION)}, "extractors": {{\n{table}\n}}}}\n'


if __name__ == "__main__":
    FILE.write_text(written(yt_dlp.YoutubeDL({"quiet": True})._ies))  # noqa: SLF001
