"""Which of yt-dlp's some 1,750 extractors may want an address or a page, without asking each.

yt-dlp asks all of them, once for an address and once more for every page. In a fork each one that
is asked means pages of memory to copy: 54 of the 94 ms of processor time of a small job (measured).
Here an extractor is asked only where the text holds a literal without which its pattern cannot
match. That never changes the answer; a test compares it with yt-dlp's own for all its test
addresses.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from yt_dlp.extractor.common import InfoExtractor

if TYPE_CHECKING:
    from _collections_abc import dict_values  # what dict.values() answers, in type stubs only

# The standard library's own parser; its trees are not public, hence the test over all patterns.
_parser: Final[Any] = re._parser  # type: ignore[attr-defined]  # noqa: SLF001
_op: Final[Any] = re._constants  # type: ignore[attr-defined]  # noqa: SLF001

GRAM: Final = 4
"""Characters by which literals are looked up; shorter literals say too little."""
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
    """What an address must hold for this extractor; None: only it can tell; empty: it takes none."""
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


class _Index:
    """Literals by their rarest few characters: a look-up reads what it finds, and nothing else."""

    def __init__(self, wanted: Mapping[int, Literals]) -> None:
        grams = Counter(
            gram for words in wanted.values() for word in words for gram in _grams(word)
        )
        self._places: dict[str, list[tuple[str, int, int]]] = {}
        for number, words in wanted.items():
            for word in words:
                gram = min(_grams(word), key=grams.__getitem__)
                self._places.setdefault(gram, []).append((word, word.index(gram), number))

    def hits(self, text: str) -> set[int]:
        """The numbers of all whose literal is in the (lower-case) text."""
        return {
            number
            for begin, gram in enumerate(_grams(text))
            for word, offset, number in self._places.get(gram, ())
            if begin >= offset and text.startswith(word, begin - offset)
        }


def _grams(text: str) -> list[str]:
    return [text[begin : begin + GRAM] for begin in range(len(text) - GRAM + 1)]


class Shortlist(dict[str, Any]):
    """yt-dlp's table of extractors by key, which knows whom to ask."""

    def __init__(self, extractors: Mapping[str, Any]) -> None:
        super().__init__(extractors)
        self._keys = list(extractors)
        self._page: str | None = None
        classes = [_real(extractor) for extractor in extractors.values()]
        addresses = dict(enumerate(map(wanted_addresses, classes)))
        self._always = {number for number, words in addresses.items() if words is None}
        self._index = _Index({number: words for number, words in addresses.items() if words})
        pages = dict(enumerate(map(wanted_pages, classes)))
        self._embedders = [
            (number, None if words is None else tuple(words))
            for number, words in pages.items()
            if words is None or words
        ]

    def taker(self, url: str) -> str | None:
        """The key of the first extractor that takes this address, as yt-dlp would find it."""
        if url.isascii():
            numbers = sorted(self._always | self._index.hits(url.lower()))
            keys = [self._keys[number] for number in numbers]
        else:
            keys = self._keys  # beyond ASCII, lower case is not what patterns take it for
        return next((key for key in keys if self[key].suitable(url)), None)

    def directed(self, extract_info: Callable[..., Any]) -> Callable[..., Any]:
        """`YoutubeDL.extract_info` that is told the extractor instead of trying each."""

        def extract(url: str, *rest: Any, ie_key: str | None = None, **more: Any) -> Any:
            return extract_info(url, *rest, ie_key=ie_key or self.taker(url), **more)

        return extract

    @contextmanager
    def looking_at(self, page: str) -> Iterator[None]:
        """While inside, `values` are those who may find an embed in this page."""
        before, self._page = self._page, page.lower()
        try:
            yield
        finally:
            self._page = before

    def values(self) -> "dict_values[str, Any]":
        """All extractors, or those for the page that is looked at."""
        page = self._page
        if page is None:
            return super().values()
        chosen = {
            key: self[key]
            for number, words in self._embedders
            if (words is None or any(word in page for word in words))
            and (key := self._keys[number])
        }
        return chosen.values()


def _real(extractor: Any) -> type:
    """The class behind a lazily loaded one, or behind an instance."""
    found = extractor if isinstance(extractor, type) else type(extractor)
    return cast("type", getattr(found, "real_class", found))


def teach(generic: Any) -> None:
    """Let GenericIE, which looks for embeds in pages, tell a Shortlist which page it looks at."""
    look = generic._extract_embeds  # noqa: SLF001

    def extract_embeds(self: Any, url: str, webpage: str, **more: Any) -> Any:
        table = self._downloader._ies  # noqa: SLF001
        if not isinstance(table, Shortlist):
            return look(self, url, webpage, **more)
        with table.looking_at(webpage):
            return look(self, url, webpage, **more)

    generic._extract_embeds = extract_embeds  # noqa: SLF001
