"""Names that more than one process uses: labels, annotations, object keys."""

from typing import Final

from trawler_crds import API_GROUP

LABEL_POOL: Final = f"{API_GROUP}/pool"
"""On a worker pod: its WorkerPool."""

LABEL_CONFIGURED: Final = f"{API_GROUP}/configured"
"""On a WorkerPool that the operator made from its own configuration."""

LABEL_CANARY: Final = f"{API_GROUP}/canary"
"""On a WorkerPool and on MediaJobs with which an image is tried: for which pool."""

LABEL_MANAGED_BY: Final = f"{API_GROUP}/managed-by"
"""On a MediaQueue that no person made: who did."""

MANAGED_BY_BOT: Final = "bot"
"""Its value on a queue that the bot made for a server."""

ANNOTATION_TRACEPARENT: Final = f"{API_GROUP}/traceparent"
"""On a MediaJob: the W3C trace context of whoever asked."""

ANNOTATION_TEMPLATE: Final = f"{API_GROUP}/template"
"""On a worker pod: a hash of what it was made from."""

SHARED_PREFIX: Final = "media"
"""Where objects lay before each install had a prefix of its own. They are still read from there."""

OWNER_OBJECT: Final = "owner.json"
"""Below a prefix: which install it belongs to. Nothing is swept, or stored, below another's."""


def object_key(prefix: str, sha256: str) -> str:
    """Where the bytes with this hash lie in the bucket."""
    return f"{folder(prefix, sha256[:2])}{sha256}"


def folder(prefix: str, shard: str) -> str:
    """What the keys of all hashes begin with that begin with these two digits."""
    return f"{prefix}/sha256/{shard}/"
