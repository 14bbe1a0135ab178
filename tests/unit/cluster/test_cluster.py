"""The local cluster's decisions, without a cluster."""

import subprocess
import sys
from pathlib import Path

import pytest

from trawler_cluster import __main__ as command_line
from trawler_cluster import binaries, checks, choice, images
from trawler_cluster.cluster_config import ClusterConfig
from trawler_cluster.errors import UserError
from trawler_cluster.kind import Kind
from trawler_cluster.native import Native, configs, processes


def test_two_clusters_share_no_address_folder_or_name() -> None:
    """So that tests may bring up a second one beside a developer's."""
    one, two = ClusterConfig(), ClusterConfig(name="trawler-dev-test", number=1)
    for part in ("state", "run", "link", "node_ip", "pod_range", "service_range", "site_port"):
        assert getattr(one, part) != getattr(two, part)
    assert len(two.link) <= 15


def test_kind_is_taken_where_a_docker_daemon_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """And plain processes elsewhere."""
    monkeypatch.setattr(checks, "docker_answers", lambda: True)
    assert isinstance(choice.choose(ClusterConfig()), Kind)
    monkeypatch.setattr(checks, "docker_answers", lambda: False)
    assert isinstance(choice.choose(ClusterConfig()), Native)


def test_the_command_lines_of_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never run here: there is no Docker; so at least their words are fixed."""
    monkeypatch.setattr(Kind, "tools", lambda _: Path("/t"))
    kind = Kind(ClusterConfig())
    state = "/var/lib/trawler/trawler-dev/kubeconfig"
    assert (
        f"/t/kind create cluster --name trawler-dev --kubeconfig {state} --wait 120s"
        == " ".join(kind.create_command())
    )
    assert "/t/kind load image-archive a.tar --name trawler-dev" == " ".join(
        kind.load_command(Path("a.tar"))
    )
    assert "delete cluster --name trawler-dev" in " ".join(kind.delete_command())


def test_docker_and_buildah_build_the_same_dockerfile() -> None:
    """Only the words around it differ."""
    words = {"reference": "r:1", "dockerfile": Path("d"), "context": Path("c")}
    docker = images.build_command(docker=True, **words)  # type: ignore[arg-type]
    buildah = images.build_command(docker=False, **words)  # type: ignore[arg-type]
    assert ["docker", "build"] == docker[:2]
    assert "--pull-never" in buildah
    assert docker[2:] == buildah[-len(docker[2:]) :]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/amd64", (1, 27, 0)),
        ("not go", None),
    ],
)
def test_the_version_of_go_is_read(text: str, expected: tuple[int, int, int] | None) -> None:
    """A point release may be missing."""
    assert expected == checks.parse_go_version(text)


def test_too_little_disk_is_one_sentence(tmp_path: Path) -> None:
    """With what is needed and what is there."""
    with pytest.raises(UserError, match="GB of free disk") as caught:
        checks.require_disk(tmp_path / "not" / "there", 10**15, "Building")
    assert "\n" not in str(caught.value)


def test_without_go_the_person_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where to get it, too."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match=r"https://go.dev/dl/"):
        checks.require_go()


def test_without_root_the_person_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what would work instead."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UserError, match="root"):
        checks.require_linux_root()


def test_a_fault_of_the_person_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard error, no traceback."""

    def fail(_: object) -> None:
        raise UserError("do this instead")

    monkeypatch.setattr(command_line, "choose", fail)
    assert 2 == command_line.main(["status"])
    assert "trawler-cluster: do this instead\n" == capsys.readouterr().err


def test_every_module_has_its_checksums() -> None:
    """Nothing is built that go.sum does not pin."""
    for module in (*binaries.MODULES, binaries.KIND):
        folder = binaries.GO / module.name
        assert (folder / "go.mod").exists()
        assert module.name == "pause" or (folder / "go.sum").exists()


def test_components_keep_to_their_own_folders() -> None:
    """Else two clusters would fight over one."""
    config = ClusterConfig(name="other", number=3)
    words = " ".join(
        word for argv in configs.commands(config, Path("/t")).values() for word in argv
    )
    assert "/var/lib/trawler/other" in words
    assert "trawler-dev" not in words + configs.containerd(config, Path("/t"))


def test_only_the_very_process_that_was_started_is_found_again(tmp_path: Path) -> None:
    """A process id may be given away again; its start time is not."""
    sleeper = processes.Component(
        name="sleeper", argv=[sys.executable, "-c", "input()"], folder=tmp_path, logs=tmp_path
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        sleeper.record.write_text(f"{process.pid} 1")
        assert sleeper.pid() is None
        sleeper.record.write_text(f"{process.pid} {processes.start_time(process.pid)}")
        assert process.pid == sleeper.pid()
        sleeper.stop()
        assert sleeper.pid() is None
    finally:
        process.communicate()


def test_help_explains_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """For who types it the first time."""
    with pytest.raises(SystemExit):
        command_line.main(["--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("up", "down", "status", "env", "fetch", "install"))
