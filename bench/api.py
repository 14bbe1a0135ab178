"""Creates and watches MediaJobs without kubectl, whose own cost would distort a measurement."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx


class Jobs:
    """Creates MediaJobs and records when a watch first reports each phase."""

    def __init__(self, http: httpx.Client, namespace: str) -> None:
        self._http = http
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._path = f"/apis/trawler.dev/v1alpha1/namespaces/{namespace}/mediajobs"
        self.seen: dict[str, dict[str, float]] = {}
        """name → phase → monotonic seconds of the first event with it."""
        self._changed = threading.Condition()
        self._stop = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        version = self._http.get(self._path).json()["metadata"]["resourceVersion"]
        thread = threading.Thread(target=self._watch, args=(version,), daemon=True)
        thread.start()
        yield
        self._stop = True

    def _watch(self, version: str) -> None:
        """Watch until stopped. The API server ends each watch after some minutes."""
        while not self._stop:
            with contextlib.suppress(httpx.HTTPError):
                version = self._watch_once(version)

    def _watch_once(self, version: str) -> str:
        query = {"watch": "true", "resourceVersion": version}
        with self._http.stream("GET", self._path, params=query) as answer:
            for line in answer.iter_lines():
                now = time.monotonic()
                item: dict[str, Any] = json.loads(line)["object"]
                version = item["metadata"].get("resourceVersion", version)
                phase = item.get("status", {}).get("phase", "Pending")
                with self._changed:
                    phases = self.seen.setdefault(item["metadata"]["name"], {})
                    phases.setdefault(phase, now)
                    self._changed.notify_all()
                if self._stop:
                    break
        return version

    def create(self, name: str, url: str, **spec: Any) -> float:
        """Create one MediaJob. Returns the monotonic time before the request."""
        body = {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": "MediaJob",
            "metadata": {"name": name},
            "spec": {"url": url, **spec},
        }
        begun = time.monotonic()
        answer = self._http.post(self._path, json=body)
        assert answer.status_code == 201, answer.text
        return begun

    def wait(self, names: list[str], phase: str, *, timeout: float) -> dict[str, float]:
        """When each job was first seen in a phase."""
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                missing = [n for n in names if phase not in self.seen.get(n, {})]
                failed = [n for n in names if "Failed" in self.seen.get(n, {})]
                assert not failed or phase == "Failed", f"failed: {failed[:3]}"
                if not missing:
                    return {name: self.seen[name][phase] for name in names}
                left = end - time.monotonic()
                assert left > 0, f"{len(missing)} not {phase} in {timeout} s: {missing[:3]}"
                self._changed.wait(left)

    def wait_for_pods(self, pool: str, count: int, *, timeout: float) -> float:
        """Wait until a pool has `count` pods. Returns the monotonic time."""
        end = time.monotonic() + timeout
        query = {"labelSelector": f"trawler.dev/pool={pool}"}
        while len(self._http.get(self._pods, params=query).json()["items"]) != count:
            assert time.monotonic() < end, f"not {count} pods of {pool} within {timeout} s"
            time.sleep(0.02)
        return time.monotonic()

    def status_writes(self) -> float:
        """Status patches of MediaJobs that the API server has counted so far."""
        total = 0.0
        for line in self._http.get("/metrics").text.splitlines():
            if (
                line.startswith("apiserver_request_total{")
                and 'resource="mediajobs"' in line
                and 'subresource="status"' in line
                and ('verb="PATCH"' in line or 'verb="PUT"' in line)
            ):
                total += float(line.rsplit(" ", 1)[1])
        return total
