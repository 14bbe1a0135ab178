"""Slots that are reserved for orders under way, and the pod that each belongs to. Pure."""

from collections.abc import Iterator, MutableMapping

Key = tuple[str, int]
"""(job uid, attempt): the fence."""


class Reservations(MutableMapping[Key, str]):
    """Maps (uid, attempt) → pod. The reverse lookup needs no search."""

    def __init__(self) -> None:
        self._pods: dict[Key, str] = {}
        self._keys: dict[str, set[Key]] = {}

    def of(self, pod: str) -> set[Key]:
        """The keys that are reserved in a pod."""
        return self._keys.get(pod, set())

    def __getitem__(self, key: Key) -> str:
        return self._pods[key]

    def __setitem__(self, key: Key, pod: str) -> None:
        if key in self._pods:
            del self[key]
        self._pods[key] = pod
        self._keys.setdefault(pod, set()).add(key)

    def __delitem__(self, key: Key) -> None:
        pod = self._pods.pop(key)
        self._keys[pod].discard(key)
        if not self._keys[pod]:
            del self._keys[pod]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._pods)

    def __len__(self) -> int:
        return len(self._pods)
