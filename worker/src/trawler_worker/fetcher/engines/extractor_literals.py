"""What an address or a page must hold for an extractor of yt-dlp to want it: read from its
patterns, and kept in a file, since reading 1,750 patterns takes a fifth of a fetcher's start
(measured).

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
"""Characters by which literals are looked up; shorter literals say too little."""

# The standard library's own parser; its trees are not public, hence the test over all patterns.
_parser: Final[Any] = re._parser  # type: ignore[attr-defined]  # noqa: SLF001
_op: Final[Any] = re._constants  # type: ignore[attr-defined]  # noqa: SLF001

_EVERYWHERE: Final = "https://www."
_LOOKS_ITSELF: Final = ("extract_from_webpage", "_extract_from_webpage", "_extract_embed_urls")

Literals = frozenset[str]


def needed(pattern: str) -> Literals | None:
    """Lower-case literals of which every match holds at least one; None where there are none."""
    found = _best(_parser.parse(pattern))
    return None if found is None else frozenset(found)


def _best(nodes: Iterable[tuple[Any, Any]]) -> list[str] | None:
    """Of the alternatives that a sequence requires, those that say most."""
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
    """As `needed`, of several patterns any of which may match."""
    each = [needed(pattern) for pattern in patterns]
    return None if None in each else frozenset().union(*filter(None, each))


def _overrides(extractor: type, names: Iterable[str]) -> bool:
    owners = extractor.__mro__[: extractor.__mro__.index(InfoExtractor)]
    return any(name in owner.__dict__ for owner in owners for name in names)


def _asks_itself(extractor: type) -> bool:
    """Whether it may take an address that its pattern does not match.

    Nearly all that override `suitable` do so to leave an address to another extractor, and ask
    their own pattern in the end.
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
    """What an address must hold for this extractor; None: only it can tell; empty: it takes
    none.
    """
    if _asks_itself(extractor):
        return None
    patterns = extractor._VALID_URL  # noqa: SLF001
    if patterns in (None, False):
        return frozenset()
    return _all_needed([patterns] if isinstance(patterns, str) else patterns)


def wanted_pages(extractor: Any) -> Literals | None:
    """What a page must hold for this extractor to find an embed; None and empty as above."""
    if _overrides(extractor, _LOOKS_ITSELF):
        return None
    return _all_needed(extractor._EMBED_REGEX)  # noqa: SLF001


class Wanted(NamedTuple):
    """Literals of which an extractor needs one. None: only it can tell; empty: it takes none."""

    address: Literals | None
    page: Literals | None


def real(extractor: Any) -> Any:
    """The class behind a lazily loaded one, or behind an instance."""
    found = extractor if isinstance(extractor, type) else type(extractor)
    return getattr(found, "real_class", found)


def of_all(extractors: Mapping[str, Any]) -> list[Wanted]:
    """In their order: from the file, where it is of this yt-dlp."""
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
    """The file's text: a line for each extractor, so that a change of yt-dlp can be read."""
    lines = [
        f"{json.dumps(key)}: {json.dumps([None if w is None else sorted(w) for w in _read(found)])}"
        for key, found in extractors.items()
    ]
    table = ",\n".join(lines)
    return f'{{"yt-dlp": {json.dumps(VERSION)}, "extractors": {{\n{table}\n}}}}\n'


if __name__ == "__main__":
    FILE.write_text(written(yt_dlp.YoutubeDL({"quiet": True})._ies))  # noqa: SLF001
