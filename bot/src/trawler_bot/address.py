"""Where Discord is. The only place in which anything but the real Discord can be meant."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

import discord
import yarl

_INSIDE: Final = (".svc", ".svc.cluster.local")


def point(*, api: str, gateway: str, cdn: str) -> None:
    """Send discord.py elsewhere where an address is given. Raises ValueError for plain text over a
    network that is neither loopback nor inside the cluster: a token would be read on its way.
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
