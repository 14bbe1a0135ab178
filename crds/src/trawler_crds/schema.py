"""Models to CRD YAML. `python -m trawler_crds.schema FOLDER... VALUES.json` writes every file."""

import copy
import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel

from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.contract import DNS_LABEL, rules
from trawler_crds.media_job import ROOT_RULES, SPEC_RULES, MediaJob, fixed_fields
from trawler_crds.media_queue import MediaQueue, MediaQueueSpec
from trawler_crds.sidecar import SCHEMA as SIDECAR_SCHEMA
from trawler_crds.sidecar import Sidecar
from trawler_crds.worker_pool import WorkerPool, WorkerPoolSpec

HEADER: Final = "# Generated from trawler_crds by `make crds`. Do not edit.\n"

_DROP: Final = frozenset({"title", "discriminator"})


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of a model. Raises TypeError for what Kubernetes cannot say."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    definitions = schema.pop("$defs", {})
    result = _node(schema, definitions)
    assert isinstance(result, dict)
    return result


def _node(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_node(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    node = _inline(node, definitions)
    if "anyOf" in node:
        node = _optional(node, definitions)
    if "default" in node:
        node["default"] = _without_null(node["default"])
        if node["default"] is None:
            del node["default"]
    _mend(node)
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key in _DROP:
            continue
        if key == "properties":
            out[key] = {name: _node(child, definitions) for name, child in value.items()}
        elif key in {"default", "enum", "x-kubernetes-validations", "required"}:
            out[key] = value
        else:
            out[key] = _node(value, definitions)
    return out


def _mend(node: dict[str, Any]) -> None:
    """What pydantic says in words that Kubernetes does not know."""
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.pop("uniqueItems", False):
        node["x-kubernetes-list-type"] = "set"
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if not isinstance(node.get(bound), bool) and bound in node:
            node[limit], node[bound] = node[bound], True
    if isinstance(node.get("description"), str):
        node["description"] = " ".join(node["description"].split())
    if "properties" in node:
        node.pop("additionalProperties", None)


def _without_null(value: Any) -> Any:
    """Absent is how Kubernetes says null, in defaults too."""
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return value


def _inline(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    node = copy.deepcopy(node)
    while "$ref" in node:
        name = node.pop("$ref").rsplit("/", 1)[-1]
        node = {**copy.deepcopy(definitions[name]), **node}
    return node


def _optional(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """`anyOf [X, null]` says: X, or absent. Absent is how Kubernetes says null."""
    branches = [branch for branch in node.pop("anyOf") if branch.get("type") != "null"]
    if len(branches) != 1:
        raise TypeError(f"a union that Kubernetes cannot say: {branches}")
    return {**_inline(branches[0], definitions), **node}


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": 1} if wide else column


_AGE: Final = _column("Age", ".metadata.creationTimestamp", "date")


_RULES: Final = "x-kubernetes-validations"


def _at_creation(rule: str, message: str) -> dict[str, Any]:
    """A rule for new objects only: what is there already can still be written, and so deleted."""
    (found,) = rules((f"oldSelf.hasValue() || ({rule})", message))[_RULES]
    return {_RULES: [{**found, "optionalOldSelf": True}]}


NAME_RULES: Final[dict[type[BaseModel], dict[str, Any]]] = {
    WorkerPool: _at_creation(
        f"self.metadata.name.matches('{DNS_LABEL}') && size(self.metadata.name) <= 54",
        "the name of a WorkerPool must consist of lower-case letters, digits and '-', at most 54 of"
        " them: its pods are named after it",
    ),
    MediaQueue: _at_creation(
        f"self.metadata.name.matches('{DNS_LABEL}')",
        "the name of a MediaQueue must consist of lower-case letters, digits and '-', at most 63 of"
        " them: else no MediaJob can name it",
    ),
}
"""Pods and subjects on the bus are named after these objects."""


def _crd(
    model: type[BaseModel],
    *,
    plural: str,
    short: str,
    columns: list[dict[str, Any]],
    selectable: list[str],
    scale: dict[str, str] | None = None,
) -> dict[str, Any]:
    schema = structural(model)
    properties = {key: schema["properties"][key] for key in ("spec", "status")}
    properties["status"].pop("default", None)
    for field in properties["status"]["properties"].values():
        field.pop("default", None)  # a status says what was seen, never what is usual
    kind = model.__name__
    root: dict[str, Any] = {
        "type": "object",
        "description": schema["description"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            **properties,
        },
        "required": schema.get("required", []),
    }
    if not root["required"]:
        del root["required"]
    if model in NAME_RULES:
        root |= NAME_RULES[model]
    if model is MediaJob:
        root |= ROOT_RULES
        properties["spec"] |= SPEC_RULES
        for name, rule in fixed_fields().items():
            field = properties["spec"]["properties"][name]
            known = field.get(_RULES, [])
            field[_RULES] = [*known, *rules(rule)[_RULES]]
    version: dict[str, Any] = {
        "name": API_VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root},
        "subresources": {"status": {}} | ({"scale": scale} if scale else {}),
        "additionalPrinterColumns": columns,
    }
    if selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{API_GROUP}"},
        "spec": {
            "group": API_GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["media"],
            },
            "versions": [version],
        },
    }


def crds() -> dict[str, dict[str, Any]]:
    """Every CRD, by the name of its file."""
    return {
        "mediajobs.yaml": _crd(
            MediaJob,
            plural="mediajobs",
            short="mj",
            selectable=[".status.phase", ".spec.queue", ".spec.pool"],
            columns=[
                _column("Phase", ".status.phase"),
                _column("Queue", ".spec.queue"),
                _column("Engine", ".status.engine"),
                _column("Files", ".status.fileCount", "integer"),
                _column("Size", ".status.size"),
                _column("Attempt", ".status.attempt", "integer"),
                _column("Reason", ".status.reason"),
                _AGE,
                _column("Host", ".status.host", wide=True),
                _column("Worker", ".status.worker", wide=True),
                _column(
                    "Delivered", '.status.conditions[?(@.type=="Delivered")].status', wide=True
                ),
            ],
        ),
        "workerpools.yaml": _crd(
            WorkerPool,
            plural="workerpools",
            short="wp",
            selectable=[],
            scale={
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
            columns=[
                _column("Scaling", ".spec.scaling"),
                _column("Desired", ".spec.replicas", "integer"),
                _column("Wanted", ".status.wanted", "integer"),
                _column("Pods", ".status.replicas", "integer"),
                _column("Ready", ".status.readyReplicas", "integer"),
                _column("Busy", ".status.busy", "integer"),
                _column("Start", '.status.conditions[?(@.type=="PodsStart")].reason', wide=True),
                _column("Image", ".status.image", wide=True),
                _column("Updated", '.status.conditions[?(@.type=="Updated")].reason', wide=True),
                _AGE,
            ],
        ),
        "mediaqueues.yaml": _crd(
            MediaQueue,
            plural="mediaqueues",
            short="mq",
            selectable=[],
            columns=[
                _column("Weight", ".spec.weight", "integer"),
                _column("Queued", ".status.queued", "integer"),
                _column("Running", ".status.running", "integer"),
                _column("Paused", ".spec.paused", "boolean"),
                _AGE,
            ],
        ),
    }


def render(crd: dict[str, Any]) -> str:
    """The text of a CRD file."""
    return HEADER + yaml.safe_dump(crd, sort_keys=False, width=100, allow_unicode=True)


def closed(schema: Any) -> Any:
    """A schema for `values.schema.json`: as the CRD's, but unknown keys are refused."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: closed(value) for key, value in schema.items() if not key.startswith("x-kubernetes")
    }
    if "properties" in kept and isinstance(kept["properties"], dict):
        kept["additionalProperties"] = False
    kept.pop("format", None)
    return kept


def fill_values(text: str) -> str:
    """The chart's schema with the pools' part as WorkerPool says it."""
    values = json.loads(text)
    values["$defs"]["workerPoolSpec"] = closed(structural(WorkerPoolSpec))
    values["$defs"]["mediaQueueSpec"] = closed(structural(MediaQueueSpec))
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def sidecar_schema() -> str:
    """JSON Schema (2020-12) of the file beside a job's files."""
    schema = Sidecar.model_json_schema(by_alias=True, mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SIDECAR_SCHEMA}
    return json.dumps({**head, **schema}, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    """Write every CRD into every folder named, fill every values schema named, and write the
    sidecar's.
    """
    for path in map(Path, arguments):
        if path.name == "sidecar.schema.json":
            path.write_text(sidecar_schema())
            continue
        if path.suffix == ".json":
            path.write_text(fill_values(path.read_text()))
            continue
        path.mkdir(parents=True, exist_ok=True)
        for name, crd in crds().items():
            (path / name).write_text(render(crd))


if __name__ == "__main__":
    main(sys.argv[1:])
