"""Whatever the schema of the values accepts, operator and bot can begin with."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chart import CHART, render, template
from generate import Generator
from trawler_bot.settings import Settings as BotSettings
from trawler_operator.kube import declared_pools
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
    "^$|^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$": ("", "http://-:99999/", "https://cobalt:9000"),
    "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$": ("abc", "0.0", "a" * 63),
    "^$|^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$": ("", "1e3", "true", "a.b_c-d"),
    r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$": ("1", "5m", "1.5Gi", "64Mi", "0"),
    "^[0-9]+(Mi|Gi|Ti)$": ("0Gi", "999999999Ti"),
    "^$|^postgres(ql)?://": ("postgres://u:p@h/d", "postgresql://"),
    "^$|^https?://": ("", "http://otel:4318", "https://"),
}
"""Some of what each pattern lets in."""


class Values(Generator):
    """Values as strangers may write them: whatever their schema lets in, at random."""

    def values(self) -> dict[str, Any]:
        """A whole file of them."""
        found: dict[str, Any] = self._of(SCHEMA)
        return found

    def _of(self, node: dict[str, Any]) -> Any:
        if "$ref" in node:
            return self._of(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]])
        kind = node.get("type", "object" if "properties" in node else "string")
        return super()._of(
            {**node, "type": kind if isinstance(kind, str) else self._random.choice(kind)}
        )

    def _names(self, node: dict[str, Any]) -> Iterable[str]:
        if "propertyNames" not in node:
            return super()._names(node)
        return self._random.choices(MATCHING[node["propertyNames"]["pattern"]], k=2)

    def _text(self, node: dict[str, Any]) -> str:
        return self._random.choice(MATCHING[node["pattern"]] if "pattern" in node else STRANGE)


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
    values.write_text(json.dumps(Values(seed).values()))
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
    assert {} == declared_pools.read(pools).faults
    told = _environment(objects, "StatefulSet", "trawler-bot")
    if told is not None:
        with patch.dict(os.environ, told):
            bot = BotSettings()
        assert bot.guilds() is not None
        assert 0 == bot.ordinal()
