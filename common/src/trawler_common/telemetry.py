"""Spans of one request across processes: the context lives in the MediaJob, each span in one."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

_TRACER: Final = trace.get_tracer("trawler")


def setup(service: str, *, endpoint: str, install: str) -> TracerProvider:
    """Send spans to an OTLP/HTTP receiver; with an empty endpoint there are only their ids, for
    logs.
    """
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.namespace": install}),
        sampler=DEFAULT_ON if endpoint else ALWAYS_OFF,
    )
    if endpoint:
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    trace.set_tracer_provider(provider)
    return provider


def root(uid: str, traceparent: str | None) -> Context:
    """The context of a request: what the asker gave, else one that follows from the job's uid.

    Computed, not stored: every process, also after a restart, finds the same trace.
    """
    if traceparent:
        given = propagate.extract({"traceparent": traceparent})
        if trace.get_current_span(given).get_span_context().is_valid:
            return given
    digest = hashlib.sha256(uid.encode()).digest()
    context = SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(NonRecordingSpan(context))


def headers(context: Context | None = None) -> dict[str, str]:
    """The W3C headers that carry a context (the current one by default)."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=context)
    return carrier


def context_from(carrier: Mapping[str, str] | None) -> Context:
    """The context that headers carry."""
    return propagate.extract(dict(carrier or {}))


@contextmanager
def span(
    name: str,
    *,
    parent: Context | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    **attributes: str | float | bool,
) -> Iterator[Span]:
    """A span around a block of code; where nobody receives spans, only the ids of its parent."""
    if _nobody_receives():
        token = attach(parent if parent is not None else get_current())
        try:
            yield trace.get_current_span()
        finally:
            detach(token)
        return
    with _TRACER.start_as_current_span(
        name, context=parent, kind=kind, attributes=attributes
    ) as current:
        yield current


def _nobody_receives() -> bool:
    """Whether no span would be recorded: then it is not made either."""
    return getattr(trace.get_tracer_provider(), "sampler", ALWAYS_OFF) is ALWAYS_OFF


def record(
    name: str, *, parent: Context, begin_ns: int, end_ns: int, **attributes: str | float
) -> None:
    """Add a span that another process timed (it has no way out of its own)."""
    finished = _TRACER.start_span(name, context=parent, start_time=begin_ns, attributes=attributes)
    finished.end(end_time=end_ns)
