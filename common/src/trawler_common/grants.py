"""Signed PUTs: the store itself proves hash and length, and refuses to overwrite.

Query signing as AWS Signature Version 4 describes it (Amazon S3 API reference, "Authenticating
Requests: Using Query Parameters"). Ours because obstore signs no headers and botocore is large
beside these lines.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

_UNSIGNED: Final = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Who signs."""

    access_key: str
    secret_key: str
    session_token: str = ""
    """Of temporary credentials (AWS STS); empty for others."""


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Signs for one bucket, addressed by path."""

    endpoint: str
    bucket: str
    region: str
    credentials: Callable[[], Credentials]
    """As they are now: temporary ones change."""

    def sign(
        self,
        method: str,
        key: str,
        *,
        headers: Mapping[str, str],
        now: datetime,
        expires: int,
    ) -> str:
        """An address that allows `method` on `key` for `expires` seconds with these headers."""
        host, who = urlsplit(self.endpoint).netloc, self.credentials()
        signed = {name.lower(): value.strip() for name, value in headers.items()} | {"host": host}
        names = ";".join(sorted(signed))
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{who.access_key}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": names,
            **({"X-Amz-Security-Token": who.session_token} if who.session_token else {}),
        }
        text = "&".join(
            f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(query.items())
        )
        path = quote("/" + "/".join(filter(None, (self.bucket, key))), safe="/~")
        canonical = "\n".join(
            (
                method,
                path,
                text,
                "".join(f"{name}:{signed[name]}\n" for name in sorted(signed)),
                names,
                _UNSIGNED,
            )
        )
        to_sign = "\n".join(
            ("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())
        )
        signature = hmac.new(
            _key(who.secret_key, scope), to_sign.encode(), hashlib.sha256
        ).hexdigest()
        return f"{self.endpoint.rstrip('/')}{path}?{text}&X-Amz-Signature={signature}"


def _key(secret_key: str, scope: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key


def put_headers(*, sha256: str, size: int, kind: str) -> dict[str, str]:
    """The headers that a PUT must carry: these bytes, this length, never over another object."""
    return {
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256)).decode(),
        "content-length": str(size),
        "content-type": kind,
        "if-none-match": "*",
    }
