"""`python -m trawler_sandbox [PORT]`: run the media site as a process or in a pod."""

import sys
import tempfile
from pathlib import Path

from aiohttp import web

from trawler_sandbox.media import KINDS, TYPES, Studio
from trawler_sandbox.site import Site


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    with tempfile.TemporaryDirectory(prefix="site-") as folder:
        studio = Studio(Path(folder))
        for extension in ({*TYPES} & {*KINDS}) | {"silent.mp4", "small.mp4"}:
            studio.clip(extension)
        site = Site(Path(folder))
        web.run_app(site.app(), port=port, access_log=None, shutdown_timeout=1, print=None)


if __name__ == "__main__":
    main()
