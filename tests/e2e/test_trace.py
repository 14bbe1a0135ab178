"""One job, one connected trace: from the annotation through operator, worker, job and upload."""

import http.server
import secrets
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from installed import Installed
from servers import wait_until
from trawler_cluster import install

pytestmark = pytest.mark.timeout(480)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Receiver:
    """An OTLP/HTTP receiver on the outside end of the cluster's link."""

    def __init__(self, host: str) -> None:
        self.spans: list[tuple[str, Span]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                outer.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self.url = f"http://{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            service = next(
                a.value.string_value
                for a in resource.resource.attributes
                if a.key == "service.name"
            )
            for scope in resource.scope_spans:
                self.spans += [(service, span) for span in scope.spans]

    def of_trace(self, trace: str) -> list[tuple[str, Span]]:
        return [(s, span) for s, span in self.spans if span.trace_id.hex() == trace]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver(release: Installed) -> Iterator[Receiver]:
    """Telemetry is switched on for this test and off again."""
    provider = release.kubectl.provider
    found = Receiver(provider.config.outside_ip)
    _switch(release, found.url)
    yield found
    _switch(release, "")
    found.close()


def _switch(release: Installed, endpoint: str) -> None:
    """An upgrade: operator and workers are replaced by ones that know the endpoint."""
    old = release.wait_for_workers(1)[0]["metadata"]["name"]
    values = install.values(install.Release(values=(f"telemetry.otlpEndpoint={endpoint}",)))
    release.kubectl.helm(
        *("upgrade", "trawler", "charts/trawler", "--reuse-values", *values),
        *("--wait", "--timeout", "90s"),
    )
    wait_until(
        lambda: (
            [p["metadata"]["name"] for p in release.workers()] not in ([], [old])
            and len(release.workers()) == 1
        ),
        what="a worker of the new template",
        timeout=90,
    )
    release.wait_for_workers(1)


def test_one_job_is_one_connected_trace(release: Installed, receiver: Receiver) -> None:
    """Every span's parent is another span of it, or the span of who asked."""
    name = release.ask(
        f"http://site:8080/page/{secrets.token_hex(6)}",
        annotations={"trawler.dev/traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
    )
    assert release.ended(name).status.phase == "Succeeded"
    wanted = {"order", "attempt", "fetch YtDlp", "prove", "hash", "upload", "look at objects"}
    wait_until(
        lambda: wanted <= {span.name for _, span in receiver.of_trace(TRACE)},
        what=f"all of {wanted}",
        timeout=30,
    )
    spans = receiver.of_trace(TRACE)
    assert {"trawler-operator", "trawler-worker"} == {service for service, _ in spans}
    ids = {span.span_id.hex() for _, span in spans} | {"00f067aa0ba902b7"}
    orphans = [span.name for _, span in spans if span.parent_span_id.hex() not in ids]
    assert orphans == []
    by_name = {span.name: span for _, span in spans}
    assert by_name["attempt"].span_id == by_name["fetch YtDlp"].parent_span_id
    assert by_name["attempt"].span_id == by_name["upload"].parent_span_id
