"""Sets the addresses of Discord. Only here can they be anything but the real Discord."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

import discord
import yarl

_INSIDE: Final = (".svc", ".svc.cluster.local")


def point(*, api: str, gateway: str, cdn: str) -> None:
    """Point discord.py to other addresses, if any are given. Raises ValueError for plain text over
    a network that is neither loopback nor inside the cluster: the token could be read in transit.
    """
    for address in filter(None, (api, gateway, cdn)):
        _require_safe(address)
    if api:
        discord.http.Route.BASE = api
    if gateway:
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
    if cdn:
        discord.Asset.BASE = cdn


def _require_safe(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme in {"https", "wss"}:
        return
    host = parts.hostname or ""
    try:
        inside = ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = host == "localhost" or "." not in host or host.endswith(_INSIDE)
    if not inside:
        raise ValueError(f"{address}: plain text is for loopback and the cluster only")
