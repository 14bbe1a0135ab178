"""Whatever the schema of the values accepts, operator and bot can begin with."""

import json
import os
import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chart import CHART, render, template
from trawler_bot.settings import Settings as BotSettings
from trawler_operator import configured
from trawler_operator.settings import Settings

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
STRANGE = (
    "x",
    'a"b',
    "it's",
    "{{ .Values }}",
    "é # x",
    "true",
    "null",
    "0x1f",
    "1e3",
    ": x",
    "- y",
)
MATCHING = {
    "^[0-9]{15,20}$": ("1" * 15, "9" * 20),
    "^$|^https?://[^/]+(/[^?#]*)?$": ("", "https://files.example", "http://[::1]:8090/a b"),
    "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$": ("a", "0", "a-" * 19 + "z", "true", "null"),
    "^[A-Za-z0-9.-]+:[0-9]{1,5}$": ("site:8080", "a:0", "-:99999"),
    "^$|^(nats|tls)://": ("nats://x:4222", 'tls://a"b'),
    "^$|^https?://[^/]+$": ("http://s3.example", "https://u:p@[::1]:9000"),
    "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$": ("abc", "0.0", "a" * 63),
    "^$|^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$": ("", "1e3", "true", "a.b_c-d"),
    r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$": ("1", "5m", "1.5Gi", "64Mi", "0"),
    "^[0-9]+(Mi|Gi|Ti)$": ("0Gi", "999999999Ti"),
    "^$|^postgres(ql)?://": ("postgres://u:p@h/d", "postgresql://"),
    "^$|^https?://": ("", "http://otel:4318", "https://"),
}
"""Some of what each pattern lets in."""


class Chooser:
    """Values at random, from the schema; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def of(self, node: dict[str, Any]) -> Any:
        """A value that one part of the schema accepts."""
        if "$ref" in node:
            return self.of(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]])
        if "enum" in node:
            return self._random.choice(node["enum"])
        kind = node.get("type", "object" if "properties" in node else "string")
        match kind if isinstance(kind, str) else self._random.choice(kind):
            case "object":
                return self._object(node)
            case "array":
                most = min(node.get("maxItems", 3), 3)
                return [self.of(node["items"]) for _ in range(self._random.randint(0, most))]
            case "integer" | "number":
                low, high = node.get("minimum", 0), node.get("maximum", 10**6)
                return self._random.choice((low, high, self._random.randint(low, high)))
            case "boolean":
                return self._random.random() < 0.5
            case _:
                return self._text(node)

    def _object(self, node: dict[str, Any]) -> dict[str, Any]:
        needed = set(node.get("required", ()))
        found = {
            name: self.of(child)
            for name, child in node.get("properties", {}).items()
            if name in needed or self._random.random() < 0.5
        }
        if isinstance(more := node.get("additionalProperties"), dict):
            names = MATCHING[node["propertyNames"]["pattern"]] if "propertyNames" in node else "ab"
            found |= {self._random.choice(names): self.of(more) for _ in range(2)}
        return found

    def _text(self, node: dict[str, Any]) -> str:
        if "pattern" in node:
            return self._random.choice(MATCHING[node["pattern"]])
        return self._random.choice(STRANGE)


def _environment(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, str] | None:
    """What a container of ours is told; what the kubelet would fill in is a name."""
    found = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    if not found:
        return None
    container = found[0]["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each.get("value", "trawler-0") for each in container["env"]}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_what_the_schema_accepts_is_rendered_and_read(tmp_path: Path, seed: int) -> None:
    """Or refused with a sentence of ours, before anything is installed."""
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps(Chooser(seed).of(SCHEMA)))
    done = template("-f", str(values))
    if done.returncode != 0:
        assert "execution error at" in done.stderr, done.stderr
        return
    objects = render("-f", str(values))
    told = _environment(objects, "Deployment", "trawler-operator")
    assert told is not None
    with patch.dict(os.environ, told):
        Settings()
    pools = tmp_path / "pools.yaml"
    (page,) = (o["data"]["pools.yaml"] for o in objects if "pools.yaml" in o.get("data", {}))
    pools.write_text(page)
    assert {} == configured.read(pools).faults
    told = _environment(objects, "StatefulSet", "trawler-bot")
    if told is not None:
        with patch.dict(os.environ, told):
            bot = BotSettings()
        assert bot.guilds() is not None
        assert 0 == bot.ordinal()
