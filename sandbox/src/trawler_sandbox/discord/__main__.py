"""`python -m trawler_sandbox.discord`: the emulator as a process, with a page for a person."""

import argparse
import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

from trawler_sandbox.discord.seed import harbour
from trawler_sandbox.discord.server import Discord, may_control


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trawler_sandbox.discord",
        description="A Discord in a box: REST, gateway and a page on which a person can act.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8091, help="which port (8091)")
    parser.add_argument("--token", help="the bot's token; a new one if it is not given")
    return parser.parse_args()


async def _serve(host: str, port: int, token: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix="discord-") as folder:
        emulator = Discord(Path(folder))
        there = harbour(emulator.world, token=token)
        async with emulator.serving(host, port) as address:
            page = f"{address}/" if may_control(host) else "none: it exists on loopback only"
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
        asyncio.run(_serve(given.host, given.port, given.token))


if __name__ == "__main__":
    main()
