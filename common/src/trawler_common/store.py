"""The object store, seen by whoever holds its credentials (never a worker)."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from xml.sax.saxutils import escape

import httpx
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError
from obstore.store import S3Store

from trawler_common.breaker import Breaker
from trawler_common.errors import Permanent, Transient
from trawler_common.grants import Credentials, Signer, put_headers
from trawler_crds.keys import OWNER_OBJECT, SHARED_PREFIX, folder, object_key
from trawler_crds.messages import UploadFile, UploadGrant

HASH: Final = re.compile("[0-9a-f]{64}")
TIMEOUT: Final = 10.0
"""Seconds for one small request to the store."""

PIECE: Final = 2 * 1024 * 1024
"""Bytes of an object that are in memory at a time, twice for a moment."""

PUBLIC_PIECE: Final = 1024 * 1024
"""The same where many may fetch at once."""


if TYPE_CHECKING:
    from obstore.store import S3Credential


class StoreUnavailable(Transient):
    """The store did not answer, or not as a store does. Worth another try."""


class StoreRefused(Permanent):
    """The store answered that we may not do this. It stays so until somebody changes its
    settings.
    """


CREDENTIALS_KEPT: Final = 60.0
"""Seconds after which credentials are read again: temporary ones are replaced in their files."""


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where the store is and who we are to it."""

    endpoint: str
    bucket: str
    region: str
    prefix: str
    """What the keys of this install begin with; no other install uses it."""
    credentials: Callable[[], Credentials]

    @classmethod
    def read(cls, folder: Path, *, endpoint: str, bucket: str, region: str, prefix: str) -> Self:
        """With the credentials of a folder that has the files `accessKey` and `secretKey`, and, for
        temporary ones, `sessionToken`.
        """
        return cls(
            endpoint=endpoint,
            bucket=bucket,
            region=region,
            prefix=prefix,
            credentials=_Files(folder),
        )


class _Files:
    """Credentials as they lie in files now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: tuple[float, Credentials] | None = None

    def __call__(self) -> Credentials:
        now = time.monotonic()
        if self._known is None or now - self._known[0] > CREDENTIALS_KEPT:
            self._known = (
                now,
                Credentials(
                    access_key=self._read("accessKey"),
                    secret_key=self._read("secretKey"),
                    session_token=self._read("sessionToken", needed=False),
                ),
            )
        return self._known[1]

    def _read(self, name: str, *, needed: bool = True) -> str:
        path = self._folder / name
        return path.read_text().strip() if needed or path.exists() else ""


class Store:
    """Grants, and looks at what was stored. What an install stored before it had a prefix of its
    own is found where it lies (`SHARED_PREFIX`).
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.prefix = settings.prefix
        self.breaker = Breaker(StoreUnavailable)
        self._region = settings.region
        self._signer = Signer(
            endpoint=settings.endpoint,
            bucket=settings.bucket,
            region=settings.region,
            credentials=settings.credentials,
        )
        self._objects = S3Store(
            settings.bucket,
            endpoint=settings.endpoint,
            region=settings.region,
            credential_provider=lambda: _credential(settings.credentials),
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": f"{TIMEOUT:.0f}s"},
            retry_config={"max_retries": 0},
        )

    async def ensure_bucket(self) -> None:
        """Make the bucket unless it is there. Raises StoreUnavailable, and StoreRefused where it
        can neither be made nor read.
        """
        url = self._signer.sign("PUT", "", headers={}, now=datetime.now(UTC), expires=60)
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
                answer = await client.put(url, content=_bucket_configuration(self._region))
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"the store does not answer: {error!r}") from error
        # 409: it exists, and it is ours or we shall see at the first upload
        if answer.status_code in {200, 204, 409}:
            return
        if answer.status_code >= 500:
            raise StoreUnavailable(f"the store could not make the bucket: {answer.status_code}")
        try:  # credentials that may not make buckets are the rule outside of tests
            await self.keys(f"{self.prefix}/{OWNER_OBJECT}")
        except StoreUnavailable as error:
            raise StoreRefused(
                f"the store refused to make the bucket ({answer.status_code}), and it"
                " cannot be read"
            ) from error

    async def claim(self, install: str) -> str:
        """Mark the prefix as this install's, unless it is another's. Answers with whose it is.
        Raises StoreUnavailable.
        """
        key = f"{self.prefix}/{OWNER_OBJECT}"
        mark = json.dumps({"install": install}).encode()
        with self._asking():
            try:
                await obstore.put_async(self._objects, key, mark, mode="create")
                return install
            except AlreadyExistsError:
                answer: Any = await obstore.get_async(self._objects, key)
                found = bytes(await answer.bytes_async())
        try:
            return str(json.loads(found)["install"])
        except (ValueError, KeyError, TypeError):
            return "nobody knows whose: the mark cannot be read"

    def grant(self, file: UploadFile, *, seconds: int) -> UploadGrant:
        """A PUT for exactly these bytes."""
        headers = put_headers(sha256=file.sha256, size=file.bytes, kind=file.type)
        url = self._signer.sign(
            "PUT",
            object_key(self.prefix, file.sha256),
            headers=headers,
            now=datetime.now(UTC),
            expires=seconds,
        )
        return UploadGrant(sha256=file.sha256, url=url, headers=headers)

    def _places(self, sha256: str) -> list[str]:
        """Where an object of ours may lie, the likelier place first."""
        return [
            object_key(prefix, sha256) for prefix in dict.fromkeys((self.prefix, SHARED_PREFIX))
        ]

    async def has(self, sha256: str, size: int) -> bool:
        """Whether the object is there with this length. Raises StoreUnavailable."""
        for key in self._places(sha256):
            try:
                with self._asking(key):
                    async with asyncio.timeout(TIMEOUT):
                        meta: Any = await obstore.head_async(self._objects, key)
            except FileNotFoundError:
                continue
            if meta["size"] == size:
                return True
        return False

    @contextmanager
    def _asking(self, key: str | None = None) -> Iterator[None]:
        """One request, perhaps about one object. Raises StoreUnavailable for whatever is not an
        answer about it, and FileNotFoundError. Credentials for our own prefix only are refused
        elsewhere: what lies there is not ours.
        """
        with self.breaker.guarding(StoreUnavailable):
            try:
                yield
            except FileNotFoundError:
                raise
            except PermissionDeniedError as error:
                if key is not None and not key.startswith(f"{self.prefix}/"):
                    raise FileNotFoundError(key) from error
                raise StoreUnavailable(f"the store refuses: {error!r}") from error
            except (BaseError, TimeoutError, OSError) as error:
                raise StoreUnavailable(f"the store does not answer: {error!r}") from error

    async def get(self, sha256: str) -> bytes:
        """The bytes of one object. Raises StoreUnavailable, FileNotFoundError."""
        for key in self._places(sha256):
            try:
                with self._asking(key):
                    answer: Any = await obstore.get_async(self._objects, key)
                    return bytes(await answer.bytes_async())
            except FileNotFoundError:
                continue
        raise FileNotFoundError(sha256)

    async def save(self, sha256: str, size: int, path: Path, *, timeout: float) -> None:
        """The bytes of one object into a file, piece by piece. Raises StoreUnavailable, after
        `timeout` seconds too, and FileNotFoundError where there is no such object.
        """
        try:
            async with asyncio.timeout(timeout):
                with path.open("wb") as sink:
                    async for piece in self.pieces(sha256, 0, size):
                        await asyncio.to_thread(sink.write, piece)
                        del piece  # else it would stay while the next one comes
        except TimeoutError as error:
            raise StoreUnavailable(f"an object did not come within {timeout:.0f} s") from error

    async def pieces(
        self, sha256: str, begin: int, end: int, size: int = PIECE
    ) -> AsyncIterator[bytes]:
        """The bytes `begin` to `end` of one object. Each piece is a request of its own: however
        slowly they are taken, none lasts longer than TIMEOUT. Raises StoreUnavailable,
        FileNotFoundError.
        """
        places = self._places(sha256)
        for at in range(begin, end, size):
            yield await self._piece(places, at, min(at + size, end))

    async def _piece(self, places: list[str], begin: int, end: int) -> bytes:
        """From the first place that has the object; the others are not asked again."""
        while True:
            try:
                with self._asking(places[0]):
                    return bytes(
                        await obstore.get_range_async(
                            self._objects, places[0], start=begin, end=end
                        )
                    )
            except FileNotFoundError:
                if len(places) == 1:
                    raise
                del places[0]

    async def delete(self, key: str, *, timeout: float = TIMEOUT) -> None:
        """Remove one object; harmless where it is not there. Raises StoreUnavailable, after
        `timeout` seconds too.
        """
        try:
            with self._asking():
                async with asyncio.timeout(min(TIMEOUT, timeout)):
                    await obstore.delete_async(self._objects, key)
        except FileNotFoundError:
            return

    async def hashes(self, shard: str, *, prefix: str) -> list[str]:
        """The hashes of all objects below a prefix whose hash begins with these two digits; what
        has another name is not ours. Raises StoreUnavailable.
        """
        keys = await self.keys(folder(prefix, shard))
        names = ((key, key.rpartition("/")[2]) for key in keys)
        return [n for key, n in names if HASH.fullmatch(n) and object_key(prefix, n) == key]

    async def keys(self, prefix: str = "") -> list[str]:
        """Every key below a prefix. Raises StoreUnavailable."""
        with self._asking():
            listing: Any = obstore.list(self._objects, prefix=prefix)
            return [str(entry["path"]) async for batch in listing for entry in batch]


def _credential(read: Callable[[], Credentials]) -> "S3Credential":
    """As obstore asks for it."""
    now = read()
    return {
        "access_key_id": now.access_key,
        "secret_access_key": now.secret_key,
        "token": now.session_token or None,
        "expires_at": datetime.now(UTC) + timedelta(minutes=5),
    }


def _bucket_configuration(region: str) -> bytes:
    """Where a new bucket is to be (Amazon S3 API reference, CreateBucket): everywhere but in the
    oldest region it has to be said.
    """
    if region in {"", "us-east-1"}:
        return b""
    return (
        '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<LocationConstraint>{escape(region)}</LocationConstraint></CreateBucketConfiguration>"
    ).encode()
