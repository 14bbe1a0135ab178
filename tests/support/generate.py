"""Objects as strangers may write them: whatever a CRD's schema lets in, at random."""

import random
import string
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from trawler_crds.schema import crds

PRINTABLE = [chr(code) for code in range(0x21, 0x7F) if chr(code) not in "\\@"]
ODD = ["\u202e", "é", "\U0001f468‍\U0001f469", "\t", "'", '"', "{", "%s", "\U0001d518"]
TIMES = [
    "2027-01-15T08:00:00Z",
    "2027-01-15T08:00:00.123456789-07:30",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2027-02-28t23:59:59z",
    "1970-01-01T00:00:00+00:00",
]
HOSTS = ["site:8080", "[1:2]", "[::::]", "[::1]:443", "a.example.", "1.2.3.4", "h:99999", "x_y.zz"]


class Generator:
    """One source of chance; the same seed makes the same objects."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def url(self) -> str:
        """What the grammar of addresses lets in, mostly."""
        path = "".join(self._random.choices(PRINTABLE, k=self._random.randrange(0, 60)))
        scheme = self._random.choice(("http", "https"))
        sign = self._random.choice("/?#")
        return f"{scheme}://{self._random.choice(HOSTS)}{sign}{path}"

    def spec(self, file: str, **fixed: Any) -> dict[str, Any]:
        """The spec of an object of a CRD file; `fixed` fields are as they are given."""
        found: dict[str, Any] = self._of(_schema(file)["spec"])
        return {**found, **fixed}

    def status(self, file: str) -> dict[str, Any]:
        found: dict[str, Any] = self._of(_schema(file)["status"])
        return found

    def _of(self, node: dict[str, Any]) -> Any:
        if "enum" in node:
            return self._random.choice(node["enum"])
        match node.get("type"):
            case "object" if "properties" in node:
                return self._object(node)
            case "object" if isinstance(more := node.get("additionalProperties"), dict):
                return {name: self._of(more) for name in self._names(node)}
            case "object":
                return {}
            case "array":
                return self._array(node)
            case "integer":
                return self._integer(node)
            case "number":
                return self._random.choice((0, 0.5, node.get("maximum", 1e9)))
            case "boolean":
                return self._random.random() < 0.3
            case _:
                return self._text(node)

    def _object(self, node: dict[str, Any]) -> dict[str, Any]:
        needed = set(node.get("required", ()))
        return {
            name: self._of(child)
            for name, child in node["properties"].items()
            if name in needed or self._random.random() < 0.4
        }

    def _names(self, _: dict[str, Any]) -> Iterable[str]:
        """Keys of a map."""
        return "k0", "k1"

    def _array(self, node: dict[str, Any]) -> list[Any]:
        most = node.get("maxItems", 4)
        full = most <= 10 and self._random.random() < 0.2
        least = node.get("minItems", 0)
        size = most if full else self._random.randint(least, max(least, min(most, 4)))
        found = [self._of(node["items"]) for _ in range(size)]
        if node.get("x-kubernetes-list-type") == "set":
            return list(dict.fromkeys(found))
        if node.get("x-kubernetes-list-type") == "map":
            (key,) = node["x-kubernetes-list-map-keys"]
            return list({item[key]: item for item in found}.values())
        return found

    def _integer(self, node: dict[str, Any]) -> int:
        low, high = node.get("minimum", 0), node.get("maximum", 2**63 - 1)
        return self._random.choice((low, high, self._random.randint(low, high)))

    def _text(self, node: dict[str, Any]) -> str:
        if node.get("format") == "date-time":
            return self._random.choice(TIMES)
        rules = str(node.get("x-kubernetes-validations", "")) + node.get("pattern", "")
        longest = node.get("maxLength", 80)
        if "https?" in rules:
            return self.url()
        if "A-Za-z" in rules:
            return self._random.choice(("de", "pt-BR", "zh-Hans", "x" * 8))
        if "a-z0-9" in rules and "Ki" not in rules:
            return self._random.choice(("default", "q", "a-b", "x" * 40))
        if "Ki" in rules:
            return self._random.choice(("5m", "1", "1.5Gi", "64Mi", "2k", "0"))
        if "0-9a-f" in rules:
            return "".join(self._random.choices("0123456789abcdef", k=64))
        if "d{4}" in rules:
            return "2027-01-15"
        if "0-9" in rules:
            return "".join(self._random.choices(string.digits, k=18))
        letters = [*string.ascii_letters, *ODD]
        size = self._random.randint(node.get("minLength", 0), min(longest, 40))
        return "".join(self._random.choices(letters, k=max(size, 1)))[:longest]


@lru_cache
def _schema(file: str) -> dict[str, Any]:
    found: dict[str, Any] = crds()[file]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return dict(found["properties"])
