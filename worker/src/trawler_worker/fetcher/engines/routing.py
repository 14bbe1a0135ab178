"""Selects the engines that try an address, and their order. Pure."""

from collections.abc import Collection
from typing import Final

from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineName, MediaKind
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.filenames import FILE_ENDINGS
from trawler_worker.protocol import Fetch

COBALT_HOSTS: Final = frozenset(
    [
        *("bilibili.com", "bilibili.tv", "b23.tv", "bsky.app", "dailymotion.com", "dai.ly"),
        *("facebook.com", "fb.watch", "instagram.com", "ddinstagram.com", "loom.com", "ok.ru"),
        *("pinterest.com", "pin.it", "newgrounds.com", "reddit.com", "v.redd.it", "rutube.ru"),
        *("snapchat.com", "soundcloud.com", "streamable.com", "tiktok.com", "tumblr.com"),
        *("twitch.tv", "twitter.com", "x.com", "vxtwitter.com", "fixvx.com", "vimeo.com"),
        *("vk.com", "vkvideo.ru", "vk.ru", "youtube.com", "youtu.be"),
    ]
)
"""Domains that Cobalt 11.7 supports, with all their subdomains. Cobalt itself decides which of
their links it accepts.
"""
PICTURES_FIRST: Final = frozenset(
    [
        *("instagram.com", "ddinstagram.com", "pinterest.com", "pin.it", "tumblr.com"),
        *("twitter.com", "x.com", "vxtwitter.com", "fixvx.com", "bsky.app", "reddit.com"),
        *("imgur.com", "flickr.com", "deviantart.com", "artstation.com", "pixiv.net"),
        *("danbooru.donmai.us", "gelbooru.com", "e621.net", "mastodon.social", "weibo.com"),
    ]
)
"""Sites whose posts contain pictures as often as videos: gallery-dl reads both."""


def route(order: Fetch, there: Collection[EngineName]) -> list[EngineName]:
    """The available engines to try, the first one first. Raises FetchError: BadAddress for an
    invalid address, NotSupported if none of the requested engines is available.
    """
    if (why := addresses.fault(order.url)) is not None:
        raise FetchError(FailureReason.BAD_ADDRESS, f"The address {why}.")
    wanted = order.engines or _usual(order)
    found = [engine for engine in wanted if engine in there]
    if not found:
        names = ", ".join(wanted)
        raise FetchError(
            FailureReason.NOT_SUPPORTED, f"None of the engines asked for is here: {names}."
        )
    if order.engines:
        return found  # requested explicitly, so `avoid` does not apply
    return [engine for engine in found if engine not in order.avoid] or found


def _usual(order: Fetch) -> list[EngineName]:
    host = addresses.parse(order.url).host
    if order.media.subtitles:  # the other engines fetch none
        direct = [EngineName.DIRECT] if looks_like_a_file(order.url) else []
        return [*direct, EngineName.YT_DLP]
    if _is_of(host, COBALT_HOSTS):
        rest = [EngineName.YT_DLP, EngineName.GALLERY_DL]
        if _is_of(host, PICTURES_FIRST) or order.media.kind is MediaKind.IMAGE:
            rest.reverse()
        return [EngineName.COBALT, *_of_kind(rest, order.media.kind)]
    if order.media.kind is MediaKind.IMAGE:
        return [EngineName.DIRECT, EngineName.GALLERY_DL]
    others = [EngineName.YT_DLP, EngineName.GALLERY_DL]
    if _is_of(host, PICTURES_FIRST):
        others.reverse()
    if looks_like_a_file(order.url):
        others.insert(0, EngineName.DIRECT)
    return _of_kind(others, order.media.kind)


def _of_kind(engines: list[EngineName], kind: MediaKind) -> list[EngineName]:
    """The engines without the one that never finds this kind of media."""
    never = {MediaKind.IMAGE: EngineName.YT_DLP, MediaKind.AUDIO: EngineName.GALLERY_DL}.get(kind)
    return [engine for engine in engines if engine is not never]


def _is_of(host: str, sites: Collection[str]) -> bool:
    """Whether a host is one of these sites or a subdomain of one."""
    words = host.lower().rstrip(".").split(".")
    return any(".".join(words[at:]) in sites for at in range(len(words)))


def looks_like_a_file(url: str) -> bool:
    """Whether the path of the address ends with the extension of a media file."""
    last = addresses.parse(url).path.rsplit("/", 1)[-1]
    return last.rpartition(".")[2].lower() in FILE_ENDINGS and "." in last
