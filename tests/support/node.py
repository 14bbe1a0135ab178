"""A kubelet without containers: runs the pods of one namespace as processes of the real worker.

What it keeps of a pod: its manifest's commands and environment, phase and exit in its status,
SIGTERM and grace on deletion, everything ended when one container ends and `restartPolicy` is
Never.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx

import forkserver
from servers import ApiServer, free_port, tail, unverified

LOOK_EVERY: Final = 0.1


@dataclass
class Pod:
    """Two processes and their folder."""

    name: str
    folder: Path
    processes: dict[str, forkserver.Process] = field(default_factory=dict)
    told: bool = False

    def ended(self) -> bool:
        return all(process.poll() is not None for process in self.processes.values())

    def send(self, signum: int, *containers: str) -> None:
        for name, process in self.processes.items():
            if name in (containers or self.processes) and process.poll() is None:
                process.send_signal(signum)

    def scratch(self) -> list[str]:
        return sorted(found.name for found in (self.folder / "scratch").iterdir())


class Node:
    """All pods of a namespace."""

    def __init__(
        self, http: httpx.AsyncClient, namespace: str, folder: Path, start: forkserver.Starter
    ) -> None:
        self._http = http
        self._begin = start
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._folder = folder
        self.pods: dict[str, Pod] = {}
        self.env: dict[str, str] = {}
        """Further environment of pods that are started from now on."""
        self.by_image: dict[str, dict[str, str]] = {}
        """The same, of pods of an image: all are of the code that is here."""
        self.selector = ""
        """Labels of the pods that it has room for; the others stay Pending."""
        self._looking: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        api: ApiServer,
        namespace: str,
        folder: Path,
        tasks: asyncio.TaskGroup,
        begin: forkserver.Starter,
    ) -> Self:
        http = httpx.AsyncClient(
            base_url=api.access.address,
            headers=api.access.headers(),
            verify=unverified(),
            timeout=5,
            trust_env=False,
        )
        node = cls(http, namespace, folder, begin)
        node._looking = tasks.create_task(node._run(), name="node")
        return node

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for pod in self.pods.values():
            pod.send(signal.SIGCONT)
            pod.send(signal.SIGKILL)
        for pod in self.pods.values():
            for process in pod.processes.values():
                await asyncio.to_thread(process.wait, 20)
        await self._http.aclose()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                room = {"labelSelector": self.selector}
                answer = await self._http.get(self._path, params=room)
                for manifest in answer.json().get("items", []):
                    await self._look(manifest)
            await asyncio.sleep(LOOK_EVERY)

    def logs(self) -> dict[str, str]:
        """What each container of the newest pods said last."""
        found = sorted(self._folder.glob("*/*.log"), key=lambda log: log.stat().st_mtime)
        return {f"{log.parent.name} {log.stem}": tail(log) for log in found[-6:]}

    async def _look(self, manifest: dict[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        pod = self.pods.get(name)
        leaving = "deletionTimestamp" in manifest["metadata"]
        if pod is None and not leaving:
            await self._bind(name)
            pod = self.pods[name] = self._start(manifest)
            await self._say(name, {"phase": "Running"})
        elif (
            pod is not None
            and not pod.told
            and any(process.poll() is not None for process in pod.processes.values())
        ):
            pod.told = True
            pod.send(signal.SIGTERM)
            await self._say(name, {"phase": "Failed"})
        if leaving:
            if pod is not None and not pod.told:
                pod.told = True
                pod.send(signal.SIGTERM)
            if pod is None or pod.ended():
                await self._http.request(
                    "DELETE", f"{self._path}/{name}", json={"gracePeriodSeconds": 0}
                )

    async def _bind(self, name: str) -> None:
        """As a scheduler does; the API server lets a pod without a node go at once, without
        grace.
        """
        binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "here"}}
        body = {"apiVersion": "v1", "kind": "Binding", **binding}
        await self._http.post(f"{self._path}/{name}/binding", json=body)

    async def _say(self, name: str, status: dict[str, Any]) -> None:
        await self._http.patch(
            f"{self._path}/{name}/status",
            json={"status": status},
            headers={"Content-Type": "application/merge-patch+json"},
        )

    def _start(self, manifest: dict[str, Any]) -> Pod:
        name = manifest["metadata"]["name"]
        pod = Pod(name, self._folder / name)
        shutil.rmtree(pod.folder, ignore_errors=True)
        (pod.folder / "scratch").mkdir(parents=True)
        here = {
            "TRAWLER_WORKER_SOCKET": str(pod.folder / "s"),
            "TRAWLER_WORKER_SCRATCH": str(pod.folder / "scratch"),
            "TRAWLER_WORKER_HEALTH_PORT": str(free_port()),
            "TRAWLER_WORKER_AGENT_UID": "-1",
        }
        for container in manifest["spec"]["containers"]:
            told = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
            module = container["command"][-1]
            mine = self.by_image.get(container["image"], {})
            pod.processes[container["name"]] = self._begin(
                module,
                {**os.environ, **told, **here, **self.env, **mine},
                pod.folder / f"{container['name']}.log",
            )
        return pod
