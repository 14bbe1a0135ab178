"""`python -m trawler_sandbox.discord`: run the emulator as a process, with a page for users."""

import argparse
import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Final

from trawler_sandbox.discord.seed import seed_guild
from trawler_sandbox.discord.server import Discord, may_control

UNEVEN: Final = {
    "PATCH /api/v10/webhooks": (5, 2.0),
    "POST /api/v10/webhooks": (5, 2.0),
    "DELETE /api/v10/channels": (5, 1.0),
}
"""Buckets with limits of their own, as Discord has them. The numbers are ours: clients must read
Discord's from its headers, and can never know them in advance.
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trawler_sandbox.discord",
        description="A Discord in a box: REST, gateway and a page on which a person can act.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8091, help="which port (8091)")
    parser.add_argument(
        "--token-file", type=Path, help="a file with the bot's token; a new token without it"
    )
    parser.add_argument(
        "--address", help="how others reach it, where that is not where it listens (http://discord)"
    )
    return parser.parse_args()


async def _serve(given: argparse.Namespace) -> None:
    token = given.token_file.read_text().strip() if given.token_file else None
    with tempfile.TemporaryDirectory(prefix="discord-") as folder:
        emulator = Discord(Path(folder))
        there = seed_guild(emulator.world, token=token)
        emulator.buckets.set(enabled=True, uneven=UNEVEN)
        async with emulator.serving(given.host, given.port, given.address) as address:
            controls = may_control(given.host)
            page = f"{address}/" if controls else "none: it exists on loopback only"
            sys.stdout.write(
                f"Page        {page}\n"
                f"REST        {address}/api/v10\n"
                f"Gateway     {emulator.gateway.url()}\n"
                f"Bot token   {there.application.bot.token}\n"
            )
            sys.stdout.flush()
            await asyncio.Event().wait()


def main() -> None:
    given = _arguments()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(given))


if __name__ == "__main__":
    main()
