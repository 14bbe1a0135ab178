"""Read request bodies: JSON, or multipart with JSON in `payload_json` and files kept on disk."""

import hashlib
import json
import re
import secrets
from pathlib import Path
from typing import Any, Final

from aiohttp import BodyPartReader, web

from trawler_sandbox.discord import errors
from trawler_sandbox.discord.drafts import Upload

JSON: Final = web.RequestKey("json", object)
"""The key under which a request keeps its parsed body."""
BLOCK: Final = 256 * 1024
_SLOT: Final = re.compile(r"^files\[(\d+)\]$|^file(\d*)$")


async def read(request: web.Request, folder: Path) -> tuple[Any, list[Upload]]:
    """Read the JSON of a request and its uploads; files stream to disk. Raises DiscordError."""
    body, uploads = await _read(request, folder)
    request[JSON] = body
    return body, uploads


async def _read(request: web.Request, folder: Path) -> tuple[Any, list[Upload]]:
    if not request.body_exists:
        return {}, []
    if request.content_type == "application/json":
        return _parsed(await request.read()), []
    if request.content_type != "multipart/form-data":
        raise errors.invalid_form("_", "UNSUPPORTED_MEDIA_TYPE", "Send JSON or multipart.")
    body: Any = {}
    uploads: list[Upload] = []
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        slot = _SLOT.match(part.name or "")
        if part.name == "payload_json":
            body = _parsed(await part.read())
        elif slot is not None:
            uploads.append(await _keep(part, int(slot[1] or slot[2] or 0), folder))
    return body, uploads


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise errors.DiscordError(400, 50109, "The request body contains invalid JSON.") from error


async def _keep(part: BodyPartReader, slot: int, folder: Path) -> Upload:
    path = folder / secrets.token_hex(12)
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as sink:
        while block := await part.read_chunk(BLOCK):
            digest.update(block)
            size += len(block)
            sink.write(block)
    name = (part.filename or f"file{slot}").replace("/", "_")
    kind = part.headers.get("Content-Type", "application/octet-stream")
    return Upload(slot, name, path, size, digest.hexdigest(), _kind(name, kind))


def _kind(name: str, said: str) -> str:
    """The content type that the client sent; without one, Discord uses the file extension."""
    known = {
        "mp4": "video/mp4",
        "webm": "video/webm",
        "mp3": "audio/mpeg",
        "m4a": "audio/mp4",
        "ogg": "audio/ogg",
        "jpg": "image/jpeg",
        "png": "image/png",
        "gif": "image/gif",
        "webp": "image/webp",
    }
    if said not in {"application/octet-stream", ""}:
        return said
    return known.get(name.rpartition(".")[2].lower(), "application/octet-stream")
