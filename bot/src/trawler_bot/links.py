"""Addresses in what people write, judged as far as that needs no network. Pure."""

import ipaddress
import re
from enum import StrEnum
from typing import Final

from trawler_common.egress import AllowList, is_public
from trawler_crds.addresses import BadAddress, fault, parse

MOST: Final = 5
"""Links of one message that are offered."""
_LINK: Final = re.compile(r"https?://[^\s<>]+", re.IGNORECASE)
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_INSIDE: Final = frozenset({"localhost", "localhost.localdomain"})
_INSIDE_ENDS: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


class Objection(StrEnum):
    """Why an address is refused before anything is done."""

    NOT_A_LINK = "not-a-link"
    MALFORMED = "malformed"
    PRIVATE = "private"


def find(text: str) -> list[str]:
    """Different links of a text in their order, without what the sentence or markdown puts around."""
    found = (_trimmed(match.group()) for match in _LINK.finditer(text))
    return list(dict.fromkeys(link for link in found if fault(link) is None))[:MOST]


def _trimmed(link: str) -> str:
    """Without a full stop or a bracket that belongs to the sentence; `…/a_(b)` keeps its own."""
    while link:
        last = link[-1]
        opening = _CLOSING.get(last)
        if opening is not None:
            if link.count(opening) >= link.count(last):
                break
        elif last not in ".,;:!?'\"*_~|`":
            break
        link = link[:-1]
    return link


def judge(text: str, allowed: AllowList) -> Objection | None:
    """What is wrong with an address that somebody typed; None where it may be tried. Where it leads
    in truth is judged again when a connection is made.
    """
    if not _LINK.match(text):
        return Objection.NOT_A_LINK
    try:
        address = parse(text)
    except BadAddress:
        return Objection.MALFORMED
    if allowed.names(address.hostname, address.port):
        return None
    return Objection.PRIVATE if _is_inside(address.hostname) else None


def _is_inside(host: str) -> bool:
    if host in _INSIDE or host.endswith(_INSIDE_ENDS):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return not is_public(host)
