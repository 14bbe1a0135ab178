"""Names that more than one process uses: labels, annotations, object keys."""

from typing import Final

from trawler_crds import API_GROUP

LABEL_POOL: Final = f"{API_GROUP}/pool"
"""On a worker pod: its WorkerPool."""

LABEL_CONFIGURED: Final = f"{API_GROUP}/configured"
"""On a WorkerPool that the operator made from its own configuration."""

ANNOTATION_TRACEPARENT: Final = f"{API_GROUP}/traceparent"
"""On a MediaJob: the W3C trace context of whoever asked."""

ANNOTATION_TEMPLATE: Final = f"{API_GROUP}/template"
"""On a worker pod: a hash of what it was made from."""

OBJECT_PREFIX: Final = "media/sha256/"


def object_key(sha256: str) -> str:
    """Where the bytes with this hash lie in the bucket."""
    return f"{OBJECT_PREFIX}{sha256[:2]}/{sha256}"
