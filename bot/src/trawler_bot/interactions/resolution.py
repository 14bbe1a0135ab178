"""Step 1 of a request: from what a person typed, or what a message holds, to a link that may be
fetched.
"""

from typing import Final

import discord

from trawler_bot.interactions import urls
from trawler_bot.interactions.declined import Declined
from trawler_bot.interactions.urls import BadLink, Link, Objection
from trawler_bot.jobs import ids
from trawler_bot.presentation.i18n import Key, Language, say
from trawler_bot.storage.database import Database
from trawler_common.egress import AllowList
from trawler_crds.addresses import MAX_URL

OBJECTIONS: Final = {
    Objection.NOT_A_LINK: Key.NOT_A_LINK,
    Objection.MALFORMED: Key.MALFORMED,
    Objection.TOO_LONG: Key.LINK_TOO_LONG,
    Objection.WITH_PASSWORD: Key.LINK_WITH_PASSWORD,
    Objection.PRIVATE: Key.PRIVATE_ADDRESS,
}


class LinkResolver:
    """Judges every link the same way, wherever it comes from."""

    def __init__(self, database: Database, egress: AllowList) -> None:
        self._database = database
        self._egress = egress

    async def typed(self, text: str, requester_id: int, to: Language) -> Link:
        """The link that a person typed. A completion whose link is too long for Discord is only the
        number of an earlier request. Raises Declined.
        """
        number = ids.recent_number(text)
        if number is not None:
            found = await self._database.request(number, requester_id)
            text = found.url if found else text
        try:
            link = urls.normalise(text)
        except BadLink as error:
            raise Declined(_objection(error, to)) from error
        self.require_public(link, to)
        return link

    def require_public(self, link: Link, to: Language) -> None:
        """Raises Declined for an address inside of a network."""
        try:
            urls.require_public(link, self._egress)
        except BadLink as error:
            raise Declined(_objection(error, to)) from error

    def listed(self, url: str) -> Link | None:
        """An entry of a site's own list; None where it may not be fetched."""
        try:
            link = urls.normalise(url)
            urls.require_public(link, self._egress)
        except BadLink:
            return None
        return link


def links_of(message: discord.Message) -> list[Link]:
    """The links in a message, in what was forwarded with it and in its embeds: files first, each
    once.
    """
    parts: list[discord.Message | discord.MessageSnapshot] = [message, *message.message_snapshots]
    files = [file.url for part in parts for file in part.attachments]
    texts = [part.content for part in parts]
    embeds = [embed for part in parts for embed in part.embeds]
    shown = [address for embed in embeds for address in _links_of(embed)]
    found = urls.find(" ".join([*files, *texts, *shown]))
    return found[: urls.MOST]


def _links_of(embed: discord.Embed) -> list[str]:
    """The link of an embed, which previews have; else the media that it shows."""
    shown = [embed.video.url, embed.image.url]
    texts = [embed.description or "", *(field.value or "" for field in embed.fields)]
    main = [embed.url] if embed.url else [each for each in shown if each]
    return [*main, *texts]


def _objection(error: BadLink, to: Language) -> str:
    return say(to, OBJECTIONS[error.objection], count=error.length, limit=MAX_URL)
