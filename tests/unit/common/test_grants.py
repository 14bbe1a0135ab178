"""The signer against a published example."""

from datetime import UTC, datetime

from trawler_common.grants import Credentials, Signer, put_headers


def test_the_signature_is_that_of_the_published_example() -> None:
    """Amazon S3 API reference, "Authenticating Requests: Using Query Parameters", example."""
    signer = Signer(
        endpoint="https://examplebucket.s3.amazonaws.com",
        bucket="",
        region="us-east-1",
        credentials=lambda: Credentials(
            access_key="AKIAIOSFODNN7EXAMPLE",
            secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
    )
    url = signer.sign(
        "GET",
        "test.txt",
        headers={},
        now=datetime(2013, 5, 24, tzinfo=UTC),
        expires=86400,
    )
    expected = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert url.endswith(f"X-Amz-Signature={expected}")


def test_a_put_is_bound_to_hash_length_and_absence() -> None:
    """So that the store itself proves the bytes."""
    headers = put_headers(sha256="00" * 32, size=5, kind="video/mp4")
    assert "5" == headers["content-length"]
    assert "*" == headers["if-none-match"]
    assert "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" == headers["x-amz-checksum-sha256"]
