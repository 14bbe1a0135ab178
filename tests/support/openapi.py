"""Requests and answers checked against Discord's own OpenAPI description, in both directions."""

import copy
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from trawler_sandbox.discord.hub import Exchange

ROOT: Final = Path(__file__).resolve().parents[2]
VARIABLE: Final = "TRAWLER_DISCORD_OPENAPI"
_BASE: Final = "urn:discord"


def document() -> Path:
    """Where Discord's description lies."""
    return Path(os.environ.get(VARIABLE) or ROOT.parent / "shared/discord/openapi.json")


def require() -> None:
    """Skip a test that is about nothing but the description, where it is missing."""
    if not document().exists():
        pytest.skip(f"Discord's OpenAPI document is not at {document()} ({VARIABLE})")


class Checker:
    """Notes what does not conform. Without the document it says so once and notes nothing."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.checked = 0
        self.document = _read() if document().exists() else None
        if self.document is None:
            print(f"not checked: Discord's OpenAPI document is not at {document()} ({VARIABLE})")

    def observe(self, exchange: Exchange) -> None:
        """One request and its answer."""
        if self.document is None:
            return
        operation = self._operation(exchange)
        what = f"{exchange.method} {exchange.path}"
        if operation is None:
            if exchange.by_bot and exchange.status != 404:
                self.violations.append(f"{what}: no such operation")
            return
        self.checked += 1
        taken = exchange.status < 400
        content = operation.get("requestBody", {}).get("content", {})
        if taken and exchange.body is not None and "application/json" in content:
            self._check(f"{what}: request", content["application/json"], exchange.body, asked=True)
        self._answer(what, operation, exchange)

    def _answer(self, what: str, operation: dict[str, Any], exchange: Exchange) -> None:
        answers = operation["responses"]
        status = str(exchange.status)
        found = answers.get(status) or answers.get(f"{status[0]}XX")
        if found is None:
            if exchange.status < 500:
                self.violations.append(f"{what}: {status} is no answer of it")
            return
        if "$ref" in found:
            assert self.document is not None
            found = self.document["components"]["responses"][found["$ref"].rpartition("/")[2]]
        schema = found.get("content", {}).get("application/json")
        if schema is not None and exchange.answer is not None:
            self._check(f"{what}: answer {status}", schema, exchange.answer, asked=False)

    def _operation(self, exchange: Exchange) -> dict[str, Any] | None:
        assert self.document is not None
        for pattern, path in _patterns():
            if pattern.fullmatch(exchange.path):
                found: dict[str, Any] | None = self.document["paths"][path].get(
                    exchange.method.lower()
                )
                if found is not None:
                    return found
        return None

    def _check(self, what: str, content: dict[str, Any], value: Any, *, asked: bool) -> None:
        validator = Draft202012Validator(
            _absolute(content["schema"]), registry=_registry(asked=asked)
        )
        for error in validator.iter_errors(value):
            deepest = _deepest(error)
            where = "/".join(map(str, deepest.absolute_path))
            self.violations.append(f"{what}: at {where or 'the top'}: {deepest.message[:300]}")


def _deepest(error: Any) -> Any:
    """Of alternatives the one that came furthest: it is the one that was meant."""
    while error.context:
        error = max(error.context, key=lambda inner: len(inner.absolute_path))
    return error


@cache
def _read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document().read_text())
    return found


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Paths as patterns; fixed words before parameters, so that `@me` and `@original` win."""
    paths = sorted(_read()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), path) for path in paths]


def _absolute(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: f"{_BASE}{value}" if key == "$ref" else _absolute(value)
            for key, value in schema.items()
        }
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema


@cache
def _registry(*, asked: bool) -> Registry[Any]:
    """All schemas, with three tolerances. A forward's reference is of type 1 (docs, Message
    Reference Types), though the description of answers knows 0 only. In requests ids may be numbers
    too: discord.py sends some so. The codes of single fields in an error are names in Discord's
    documentation (Error Messages) and in practice, though the description calls them integers.
    """
    schemas = dict(_read()["components"]["schemas"])
    named = {"type": "object", "required": ["code", "message"]}
    inner = {"_errors": {"type": "array", "items": named}}
    schemas["InnerErrors"] = {
        "type": "object",
        "properties": inner,
        "required": ["_errors"],
        "additionalProperties": False,
    }
    reference = copy.deepcopy(schemas["MessageReferenceResponse"])
    reference["properties"]["type"] = {"type": "integer", "enum": [0, 1]}
    schemas["MessageReferenceResponse"] = reference
    if asked:
        schemas["SnowflakeType"] = {"type": ["string", "integer"]}
    contents = {"components": {"schemas": schemas}}
    found: Registry[Any] = Registry().with_resource(
        _BASE, Resource.from_contents(contents, default_specification=DRAFT202012)
    )
    return found
