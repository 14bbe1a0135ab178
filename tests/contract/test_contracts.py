"""Generated files are current, and every example is what it says."""

from pathlib import Path

import mdformat
import pytest
import yaml
from kubernetes_validate import validate

from trawler_bot.presentation import texts_page
from trawler_crds import addresses, messages
from trawler_crds.media_job import MediaJob, MediaJobSpec, MediaJobStatus
from trawler_crds.schema import crds, fill_values, render, sidecar_schema

STYLE = {"wrap": 110, "plugin": {"tables": {"compact_tables": True}}}
"""As `.mdformat.toml` has it."""
ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "trawler"
EXAMPLES = sorted((ROOT / "crds" / "examples").glob("*.yaml"))
INVALID = sorted((ROOT / "crds" / "examples" / "invalid").glob("*.yaml"))


@pytest.mark.parametrize("name", list(crds()))
@pytest.mark.parametrize("folder", [ROOT / "crds", CHART / "files" / "crds"])
def test_the_committed_crd_is_current(folder: Path, name: str) -> None:
    """Run `make crds` after changing a model."""
    assert render(crds()[name]) == (folder / name).read_text()


def test_the_table_of_texts_is_current() -> None:
    """Run `make texts` after changing a catalogue."""
    made = mdformat.text(texts_page.page(), extensions={"gfm"}, options=STYLE)
    assert made == (ROOT / "docs" / "texts.md").read_text()


def test_the_charts_schema_is_current() -> None:
    """Its part about pools comes from WorkerPool."""
    text = (CHART / "values.schema.json").read_text()
    assert fill_values(text) == text


def test_the_sidecars_schema_is_current() -> None:
    """Run `make crds` after changing its model."""
    assert sidecar_schema() == (ROOT / "docs" / "sidecar.schema.json").read_text()


@pytest.mark.parametrize("name", list(crds()))
def test_the_crd_is_what_kubernetes_calls_valid(name: str) -> None:
    """By the published schema, strictly; the API server itself is asked in integration."""
    validate(crds()[name], "1.35", strict=True)


@pytest.mark.parametrize("name", list(crds()))
def test_the_schema_is_closed_and_bounded(name: str) -> None:
    """Every string and list has a greatest length: a MediaJob stays small."""
    schema = crds()[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    def check(node: dict[str, object], path: str) -> None:
        assert "x-kubernetes-preserve-unknown-fields" not in node, path
        assert "$ref" not in node, path
        kind = node.get("type")
        if kind == "string":
            assert "maxLength" in node or "enum" in node, path
        if kind == "array":
            assert "maxItems" in node, path
            check(node["items"], f"{path}[]")  # type: ignore[arg-type]
        for key, child in (node.get("properties") or {}).items():  # type: ignore[attr-defined]
            check(child, f"{path}.{key}")

    for part in ("spec", "status"):
        check(schema["properties"][part], part)


def test_there_are_enough_examples() -> None:
    """At least twelve that end, with six different reasons."""
    ends = [_ends(path) for path in EXAMPLES]
    assert len(ends) >= 12
    assert len({words[1] for words in ends if len(words) > 1}) >= 6


def _ends(path: Path) -> list[str]:
    line = next(x for x in path.read_text().splitlines() if x.startswith("# ends:"))
    return line.removeprefix("# ends:").split()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_says_how_it_ends(path: Path) -> None:
    """Its name is the file's."""
    job = MediaJob.model_validate(yaml.safe_load(path.read_text()))
    assert path.stem == job.name
    assert addresses.fault(job.spec.url) is None
    assert _ends(path)[0] in {"Succeeded", "Failed", "Cancelled"}


def test_the_models_accept_what_a_newer_writer_adds() -> None:
    """An older reader survives."""
    seen = messages.Presence.model_validate_json(
        '{"version":2,"pool":"p","sequence":1,"free":1,"taken":0,"later":{"x":1}}'
    )
    assert 2 == seen.version


@pytest.mark.parametrize(
    "message",
    [
        messages.Presence(pool="p", sequence=3, free=1, taken=1),
        messages.Order(uid="u", name="n", attempt=1, url="http://a/", attempt_seconds=5),
        messages.Result(attempt=1, outcome=messages.Outcome.FAILED),
        messages.UploadGrants(refused=True),
    ],
    ids=lambda message: type(message).__name__,
)
def test_messages_survive_the_wire(message: messages.Message) -> None:
    """camelCase there and back."""
    wire = message.model_dump_json(by_alias=True, exclude_none=True)
    assert message == type(message).model_validate_json(wire)
    assert "_" not in "".join(message.wire())


def test_defaults_are_those_of_the_design() -> None:
    """Section 3."""
    spec = MediaJobSpec(url="http://a/")
    assert (900, 3600, 2, 86400) == (
        spec.attempt_seconds,
        spec.max_queue_seconds,
        spec.backoff_limit,
        spec.ttl_seconds_after_finished,
    )
    assert (500_000_000, 20) == (spec.limits.max_bytes, spec.limits.max_files)
    assert "Pending" == MediaJobStatus().phase
