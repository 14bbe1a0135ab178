"""The object store, seen by whoever holds its credentials (never a worker)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import httpx
import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from trawler_common.grants import Signer, put_headers
from trawler_crds.keys import OBJECT_PREFIX, object_key
from trawler_crds.messages import UploadFile, UploadGrant

TIMEOUT: Final = 10.0
"""Seconds for one small request to the store."""

PIECE: Final = 4 * 1024 * 1024
"""Bytes of an object that are in memory at a time."""

PUBLIC_PIECE: Final = 1024 * 1024
"""The same where many may fetch at once."""


class StoreAway(Exception):
    """The store did not answer, or not as a store does. Worth another try."""


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where the store is and who we are to it."""

    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str

    @classmethod
    def read(cls, folder: Path, *, endpoint: str, bucket: str, region: str) -> Self:
        """With the credentials of a folder that has the files `accessKey` and `secretKey`."""
        return cls(
            endpoint=endpoint,
            bucket=bucket,
            region=region,
            access_key=(folder / "accessKey").read_text().strip(),
            secret_key=(folder / "secretKey").read_text().strip(),
        )


class Store:
    """Grants, and looks at what was stored."""

    def __init__(self, settings: StoreSettings) -> None:
        self._signer = Signer(
            endpoint=settings.endpoint,
            bucket=settings.bucket,
            region=settings.region,
            access_key=settings.access_key,
            secret_key=settings.secret_key,
        )
        self._objects = S3Store(
            settings.bucket,
            endpoint=settings.endpoint,
            region=settings.region,
            access_key_id=settings.access_key,
            secret_access_key=settings.secret_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": f"{TIMEOUT:.0f}s"},
            retry_config={"max_retries": 0},
        )

    async def ensure_bucket(self) -> None:
        """Make the bucket unless it is there. Raises StoreAway."""
        url = self._signer.sign("PUT", "", headers={}, now=datetime.now(UTC), expires=60)
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
                answer = await client.put(url)
        except httpx.HTTPError as error:
            raise StoreAway(f"the store does not answer: {error!r}") from error
        # 409: it exists, and it is ours or we shall see at the first upload
        if answer.status_code not in {200, 204, 409}:
            raise StoreAway(f"the store refused to make the bucket: {answer.status_code}")

    def grant(self, file: UploadFile, *, seconds: int) -> UploadGrant:
        """A PUT for exactly these bytes."""
        headers = put_headers(sha256=file.sha256, size=file.bytes, kind=file.type)
        url = self._signer.sign(
            "PUT",
            object_key(file.sha256),
            headers=headers,
            now=datetime.now(UTC),
            expires=seconds,
        )
        return UploadGrant(sha256=file.sha256, url=url, headers=headers)

    async def has(self, sha256: str, size: int) -> bool:
        """Whether the object is there with this length. Raises StoreAway."""
        try:
            async with asyncio.timeout(TIMEOUT):
                meta: Any = await obstore.head_async(self._objects, object_key(sha256))
        except FileNotFoundError:
            return False
        except (BaseError, TimeoutError) as error:
            raise StoreAway(f"the store does not answer: {error!r}") from error
        return bool(meta["size"] == size)

    async def get(self, sha256: str) -> bytes:
        """The bytes of one object. Raises StoreAway, FileNotFoundError."""
        try:
            answer: Any = await obstore.get_async(self._objects, object_key(sha256))
            return bytes(await answer.bytes_async())
        except FileNotFoundError:
            raise
        except BaseError as error:
            raise StoreAway(f"the store does not answer: {error!r}") from error

    async def save(self, sha256: str, size: int, path: Path, *, timeout: float) -> None:
        """The bytes of one object into a file, piece by piece. Raises StoreAway, after `timeout` seconds
        too, and FileNotFoundError where there is no such object.
        """
        try:
            async with asyncio.timeout(timeout):
                with path.open("wb") as sink:
                    async for piece in self.pieces(sha256, 0, size):
                        await asyncio.to_thread(sink.write, piece)
        except TimeoutError as error:
            raise StoreAway(f"an object did not come within {timeout:.0f} s") from error

    async def pieces(
        self, sha256: str, begin: int, end: int, size: int = PIECE
    ) -> AsyncIterator[bytes]:
        """The bytes `begin` to `end` of one object. Each piece is a request of its own: however slowly
        they are taken, none lasts longer than TIMEOUT. Raises StoreAway, FileNotFoundError.
        """
        for at in range(begin, end, size):
            try:
                yield bytes(
                    await obstore.get_range_async(
                        self._objects, object_key(sha256), start=at, end=min(at + size, end)
                    )
                )
            except FileNotFoundError:
                raise
            except (BaseError, TimeoutError) as error:
                raise StoreAway(f"the store does not answer: {error!r}") from error

    async def delete(self, sha256: str, *, timeout: float = TIMEOUT) -> None:
        """Remove one object; harmless where it is not there. Raises StoreAway, after `timeout` seconds
        too.
        """
        try:
            async with asyncio.timeout(min(TIMEOUT, timeout)):
                await obstore.delete_async(self._objects, object_key(sha256))
        except FileNotFoundError:
            return
        except (BaseError, TimeoutError) as error:
            raise StoreAway(f"the store does not answer: {error!r}") from error

    async def hashes(self, shard: str) -> list[str]:
        """The hashes of all objects whose hash begins with these two digits. Raises StoreAway."""
        keys = await self.keys(f"{OBJECT_PREFIX}{shard}/")
        return [name for key in keys if object_key(name := key.rpartition("/")[2]) == key]

    async def keys(self, prefix: str = "") -> list[str]:
        """Every key below a prefix. Raises StoreAway."""
        try:
            listing: Any = obstore.list(self._objects, prefix=prefix)
            return [str(entry["path"]) async for batch in listing for entry in batch]
        except BaseError as error:
            raise StoreAway(f"the store does not answer: {error!r}") from error
