"""Which engines try an address, and in which order. Pure."""

from typing import Final

from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineName, MediaKind
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.naming import FILE_ENDINGS
from trawler_worker.protocol import Fetch

READY: Final = (EngineName.DIRECT, EngineName.YT_DLP)


def route(order: Fetch) -> list[EngineName]:
    """The engines to try. Raises FetchError: BadAddress for what is no address, NotSupported where no
    engine that is asked for is here.
    """
    if (why := addresses.fault(order.url)) is not None:
        raise FetchError(FailureReason.BAD_ADDRESS, f"The address {why}.")
    if order.media.clip is not None:
        raise FetchError(FailureReason.NOT_SUPPORTED, "Fetching only a clip is not supported yet.")
    if order.media.subtitles:
        raise FetchError(FailureReason.NOT_SUPPORTED, "Subtitles are not supported yet.")
    if order.engines:
        found: list[EngineName] = [engine for engine in order.engines if engine in READY]
        if not found:
            names = ", ".join(order.engines)
            raise FetchError(
                FailureReason.NOT_SUPPORTED, f"None of the engines asked for is here yet: {names}."
            )
        return found
    if order.media.kind is MediaKind.IMAGE:
        return [EngineName.DIRECT]
    if looks_like_a_file(order.url):
        return [EngineName.DIRECT, EngineName.YT_DLP]
    return [EngineName.YT_DLP]


def looks_like_a_file(url: str) -> bool:
    """Whether the address' path ends like a media file."""
    last = addresses.parse(url).path.rsplit("/", 1)[-1]
    return last.rpartition(".")[2].lower() in FILE_ENDINGS and "." in last
