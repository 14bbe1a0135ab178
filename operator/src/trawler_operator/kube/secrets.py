"""What the chart's Job runs before the first pod: passwords and keys, each made once. What is there
already is never read, changed or replaced: this may create Secrets and nothing else.
"""

import asyncio
import base64
import secrets
import string
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_settings import BaseSettings, SettingsConfigDict

from trawler_common import lifecycle, logs
from trawler_common.backoff import Backoff
from trawler_common.kube import ApiUnavailable, Conflict, Kube

log = logs.get("secrets")

PATIENCE: Final = 60.0
"""Seconds to try for; the Job tries again."""
_LETTERS: Final = string.ascii_letters + string.digits


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRAWLER_OPERATOR_", frozen=True)

    install: str
    log_level: str = "INFO"


def _word(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _store(_: str) -> dict[str, str]:
    return {"accessKey": _word(20), "secretKey": _word(40)}


def _postgres(install: str) -> dict[str, str]:
    password = _word(32)
    host = f"trawler-postgres.{install}.svc:5432"
    return {"password": password, "url": f"postgresql://trawler:{password}@{host}/postgres"}


def _bot_key(_: str) -> dict[str, str]:
    return {"key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}


def _sandbox_token(_: str) -> dict[str, str]:
    return {"token": f"{_word(24)}.{_word(38)}"}


MADE: Final[Mapping[str, tuple[str, Callable[[str], dict[str, str]]]]] = {
    "store": ("trawler-store", _store),
    "postgres": ("trawler-postgres", _postgres),
    "bot-key": ("trawler-bot", _bot_key),
    "sandbox-token": ("trawler-discord-sandbox", _sandbox_token),
}
"""Word of the command line → name of the Secret, and what makes its values."""


def manifest(word: str, install: str) -> dict[str, Any]:
    """A Secret with fresh values. Raises KeyError for a word that is not known."""
    name, make = MADE[word]
    labels = {"app.kubernetes.io/name": "trawler", "app.kubernetes.io/component": "secrets"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "type": "Opaque",
        "stringData": make(install),
    }


async def make(kube: Kube, words: list[str]) -> None:
    """Make each of these unless it is there. Raises ApiUnavailable, Rejected."""
    for word in words:
        body = manifest(word, kube.namespace)
        name = body["metadata"]["name"]
        try:
            await kube.call("POST", f"/api/v1/namespaces/{kube.namespace}/secrets", body)
            log.info("secret_made", extra={"secret": name})
        except Conflict:
            log.info("secret_was_there", extra={"secret": name})


async def serve(_: asyncio.Event, settings: Settings, words: list[str]) -> None:
    """Make them, with patience for an API server that is away. Raises TimeoutError, Rejected."""
    kube = await Kube.connect(settings.install)
    pause = Backoff()
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await make(kube, words)
                except ApiUnavailable as error:
                    log.warning("secrets_wait", extra={"error": str(error)})
                    await pause.pause()
    finally:
        await kube.close()


def main() -> None:
    settings = Settings()
    logs.setup("secrets", settings.log_level)
    lifecycle.run(lambda stop: serve(stop, settings, sys.argv[1:]))


if __name__ == "__main__":
    main()
