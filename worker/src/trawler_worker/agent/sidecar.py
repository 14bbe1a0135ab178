"""Builds the JSON sidecar of a job's files, from what the job process reported and the hashes that
the agent computed.
"""

import functools
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Final

from trawler_crds import sidecar
from trawler_crds.media_job import EngineName, MediaFile, Source
from trawler_crds.messages import Order, UploadFile
from trawler_crds.sidecar import About, SidecarFile
from trawler_worker.agent.upload import Sidecar
from trawler_worker.protocol import Done, ValidFile

_PACKAGES: Final = {EngineName.YT_DLP: "yt-dlp", EngineName.GALLERY_DL: "gallery-dl"}
"""Python packages behind the engines. The version of a Cobalt instance is not known here."""


def of(order: Order, done: Done, files: Sequence[MediaFile], wall: float) -> Sidecar:
    """The sidecar of these files, stored at `wall` (Unix seconds)."""
    source = done.source or Source()
    about = sidecar.Sidecar(
        url=order.url,
        page=source.page,
        site=source.extractor,
        title=source.title,
        author=source.author,
        age_limit=source.age_limit,
        about=done.about or About(),
        fetched=datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        engine=done.engine,
        versions=_versions(done.engine),
        files=[_file(each, proved) for each, proved in zip(files, done.files, strict=True)],
    )
    data = about.model_dump_json(by_alias=True, exclude_none=True, indent=2).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    file = UploadFile(sha256=sha256, bytes=len(data), type=sidecar.MEDIA_TYPE)
    return Sidecar(data=data, file=file)


def _file(file: MediaFile, proved: ValidFile) -> SidecarFile:
    return SidecarFile.model_validate({**file.wire(), "caption": proved.caption})


@functools.cache
def _versions(engine: EngineName | None) -> dict[str, str]:
    names = ["trawler-worker", *([_PACKAGES[engine]] if engine in _PACKAGES else [])]
    return {name: metadata.version(name) for name in names}
