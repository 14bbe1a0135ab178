"""An index that finds which of yt-dlp's some 1,750 extractors may match an address or a page.

yt-dlp asks all of them, once for an address and once more for every page. In a fork, each extractor
that is asked means pages of memory to copy: 54 of the 94 ms of CPU time of a small job (measured).
With the index, an extractor is asked only if the text contains a literal without which its pattern
cannot match. The result never changes; a test compares it with yt-dlp's own for all its test
addresses.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trawler_worker.fetcher.engines import extractor_literals
from trawler_worker.fetcher.engines.extractor_literals import GRAM, Literals

if TYPE_CHECKING:
    from _collections_abc import dict_values  # the type of dict.values(), in type stubs only


class _Index:
    """Literals by their rarest few characters, so that a look-up visits only the candidates."""

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
        """The numbers of all extractors that have a literal in the (lower-case) text."""
        return {
            number
            for begin, gram in enumerate(_grams(text))
            for word, offset, number in self._places.get(gram, ())
            if begin >= offset and text.startswith(word, begin - offset)
        }


def _grams(text: str) -> list[str]:
    return [text[begin : begin + GRAM] for begin in range(len(text) - GRAM + 1)]


class Shortlist(dict[str, Any]):
    """yt-dlp's table of extractors by key, which knows the extractors to ask."""

    def __init__(self, extractors: Mapping[str, Any]) -> None:
        super().__init__(extractors)
        self._keys = list(extractors)
        self._page: str | None = None
        for extractor in extractors.values():
            extractor_literals.real(extractor)  # loads it once, before the first fork
        wanted = list(enumerate(extractor_literals.of_all(extractors)))
        self._always = {number for number, want in wanted if want.address is None}
        self._index = _Index({number: want.address for number, want in wanted if want.address})
        self._embedders = [
            (number, None if want.page is None else tuple(want.page))
            for number, want in wanted
            if want.page is None or want.page
        ]

    def taker(self, url: str) -> str | None:
        """The key of the first extractor that accepts this address, as yt-dlp would find it."""
        if url.isascii():
            numbers = sorted(self._always | self._index.hits(url.lower()))
            keys = [self._keys[number] for number in numbers]
        else:
            keys = self._keys  # outside ASCII, patterns fold case differently from lower()
        return next((key for key in keys if self[key].suitable(url)), None)

    def directed(self, extract_info: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `YoutubeDL.extract_info`: it gets the extractor's key instead of trying each
        extractor.
        """

        def extract(url: str, *rest: Any, ie_key: str | None = None, **more: Any) -> Any:
            return extract_info(url, *rest, ie_key=ie_key or self.taker(url), **more)

        return extract

    @contextmanager
    def looking_at(self, page: str) -> Iterator[None]:
        """While inside, `values` returns only extractors that may find an embed in this page."""
        before, self._page = self._page, page.lower()
        try:
            yield
        finally:
            self._page = before

    def values(self) -> "dict_values[str, Any]":
        """All extractors, or only those for the page that is being searched."""
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


def teach(generic: Any) -> None:
    """Make GenericIE, which searches pages for embeds, tell a Shortlist which page it searches."""
    look = generic._extract_embeds  # noqa: SLF001

    def extract_embeds(self: Any, url: str, webpage: str, **more: Any) -> Any:
        table = self._downloader._ies  # noqa: SLF001
        if not isinstance(table, Shortlist):
            return look(self, url, webpage, **more)
        with table.looking_at(webpage):
            return look(self, url, webpage, **more)

    generic._extract_embeds = extract_embeds  # noqa: SLF001
