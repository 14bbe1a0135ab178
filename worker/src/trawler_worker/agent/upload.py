"""Uploads files to object storage. The agent hashes them, the operator grants the uploads, and the
store verifies the bytes.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

import aiohttp

from trawler_common import logs, telemetry
from trawler_common.bus import Bus, RequestTimeout
from trawler_common.failpoints import Failpoint, hit
from trawler_crds import subjects
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaFile
from trawler_crds.messages import UploadFile, UploadGrant, UploadGrants, UploadRequest
from trawler_worker.agent.job_table import ActiveJob
from trawler_worker.files import Identity, NotPlain, opened, unchanged
from trawler_worker.protocol import Fault, ValidFile

log = logs.get("upload")

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
CHUNK: Final = 1024 * 1024
IN_MEMORY: Final = 4 * 1024 * 1024
"""Maximum size in bytes of a file that is uploaded from memory."""


class UploadFailed(Exception):
    """The files of this attempt cannot be stored."""

    def __init__(self, reason: FailureReason, message: str | None = None) -> None:
        super().__init__(reason.value)
        self.fault = Fault(reason=reason, message=message)


class Revoked(Exception):
    """The operator refused: the attempt no longer belongs to this pod."""


class _Away(Exception):
    """The store or the operator does not respond at the moment."""


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """A validated file with the hash that the agent computed."""

    folder: str
    name: str
    identity: Identity
    file: MediaFile

    @contextmanager
    def body(self) -> Iterator[bytes | IO[bytes]]:
        """The request body, only while the file is the one that was validated. Raises NotPlain."""
        with (
            opened(self.folder, self.name, self.identity) as descriptor,
            os.fdopen(os.dup(descriptor), "rb") as file,
        ):
            # a small file is read at once: streaming switches to a thread for every 64 KiB
            yield file.read() if self.file.bytes <= IN_MEMORY else file


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """The metadata that is stored beside the files."""

    data: bytes
    file: UploadFile

    @contextmanager
    def body(self) -> Iterator[bytes]:
        yield self.data


def digest(folder: str, name: str, known: Identity) -> tuple[str, int]:
    """SHA-256 and length of a file that has not changed since validation. hashlib releases the GIL,
    so other threads run meanwhile. Raises NotPlain.
    """
    made_of = hashlib.sha256()
    size = 0
    with opened(folder, name, known) as file:
        while chunk := os.read(file, CHUNK):
            made_of.update(chunk)
            size += len(chunk)
        unchanged(file, known)
    return made_of.hexdigest(), size


async def hash_file(proved: ValidFile, folder: str) -> Hashed:
    """Hash one file of the fetcher. Raises UploadFailed if it is not the validated file."""
    identity = Identity(inode=proved.inode, bytes=proved.bytes, changed_ns=proved.changed_ns)
    try:
        sha256, size = await asyncio.to_thread(digest, folder, proved.path, identity)
    except NotPlain as error:
        log.warning("file_is_not_as_proved", extra={"why": str(error)})
        raise UploadFailed(FailureReason.INTERNAL) from error
    return Hashed(
        folder=folder,
        name=proved.path,
        identity=identity,
        file=MediaFile(
            name=proved.name,
            bytes=size,
            sha256=sha256,
            type=proved.type,
            width=proved.width,
            height=proved.height,
            seconds=proved.seconds,
            verified=proved.verified,
        ),
    )


class Uploader:
    """Uploads files with signed grants. Retries within the attempt's time."""

    def __init__(self, bus: Bus, session: aiohttp.ClientSession, *, install: str, pod: str) -> None:
        self._bus = bus
        self._session = session
        self._install = install
        self._pod = pod

    async def store(self, work: ActiveJob, files: list[Hashed], sidecar: Sidecar) -> bool:
        """Store every file and the sidecar. Returns False if only the sidecar was not stored: the
        store refused it, or the operator is of the previous release and knows no sidecars. Raises
        UploadFailed, Revoked.
        """
        left = {hashed.file.sha256: hashed for hashed in files}
        stored, pause = False, FIRST_PAUSE
        while True:
            try:
                grants = await self._ask(work, files, sidecar)
                hit(Failpoint.WORKER_GRANTED)
                stored = await self._put_beside(sidecar, grants, work) or stored
                await self._put_each(left, grants, work)
                if not left:
                    return stored
            except _Away as away:
                log.info("store_or_operator_away", extra={"why": str(away)})
            if work.left() <= pause:
                raise UploadFailed(FailureReason.STORAGE_ERROR)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _put_beside(
        self, sidecar: Sidecar, grants: Sequence[UploadGrant], work: ActiveJob
    ) -> bool:
        """Upload the sidecar, if granted, and return whether it was stored. Refusal is no failure:
        the files matter more than their metadata.
        """
        for grant in grants:
            if grant.sha256 == sidecar.file.sha256:
                try:
                    await self._put(sidecar, grant, work)
                except UploadFailed:
                    log.warning("sidecar_refused")
                    return False
                return True
        return False

    async def _put_each(
        self, left: dict[str, Hashed], grants: Sequence[UploadGrant], work: ActiveJob
    ) -> None:
        """Upload the files that have a grant and remove them from `left`."""
        for grant in grants:
            if grant.sha256 in left:
                await self._put(left[grant.sha256], grant, work)
                del left[grant.sha256]

    async def _ask(
        self, work: ActiveJob, files: Sequence[Hashed], sidecar: Sidecar
    ) -> list[UploadGrant]:
        known = {hashed.file.sha256: hashed.file for hashed in files}
        question = UploadRequest(
            attempt=work.order.attempt,
            files=[
                UploadFile(sha256=file.sha256, bytes=file.bytes, type=file.type)
                for file in known.values()
            ],
            sidecar=sidecar.file,
        )
        subject = subjects.uploads(self._install, self._pod, work.order.uid)
        try:
            answer = await self._bus.request(subject, question, UploadGrants, timeout=5)
        except RequestTimeout as error:
            raise _Away("the operator does not answer") from error
        if answer.refused:
            raise Revoked
        return answer.grants

    async def _put(self, hashed: Hashed | Sidecar, grant: UploadGrant, work: ActiveJob) -> None:
        seconds = max(1.0, work.left())
        begun = time.monotonic()
        with telemetry.span("upload", bytes=hashed.file.bytes):
            try:
                with hashed.body() as body:
                    async with self._session.put(
                        grant.url,
                        data=body,
                        headers=grant.headers,
                        timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=5, sock_read=60),
                        allow_redirects=False,
                    ) as answer:
                        status = answer.status
            except NotPlain as error:
                raise UploadFailed(FailureReason.INTERNAL) from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _Away(type(error).__name__) from error
        # 412: an object with this hash exists, so its bytes are the same
        if status in {200, 201, 204, 412}:
            log.info("stored", extra={"seconds": round(time.monotonic() - begun, 3)})
            return
        if status >= 500 or status in {408, 409, 429}:
            raise _Away(f"the store answers {status}")
        raise UploadFailed(FailureReason.STORAGE_ERROR, f"The store refused the file ({status}).")
