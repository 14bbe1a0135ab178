"""Rate limits as Discord counts them: a bucket per route and first id, and a global one. Pure."""

from dataclasses import dataclass, field


@dataclass
class Bucket:
    """A number of requests per number of seconds, counted from the first request."""

    size: int
    seconds: float
    used: int = 0
    opened: float = 0.0

    def take(self, now: float) -> bool:
        """Whether there is room for one more request; if so, it is counted."""
        if now - self.opened >= self.seconds:
            self.opened, self.used = now, 0
        if self.used >= self.size:
            return False
        self.used += 1
        return True

    def remaining(self) -> int:
        return max(0, self.size - self.used)

    def resets_in(self, now: float) -> float:
        return max(0.0, self.opened + self.seconds - now)


@dataclass
class Buckets:
    """Every bucket of one bot."""

    enabled: bool = False
    """If False, headers are still sent, but nothing is refused."""
    size: int = 5
    seconds: float = 5.0
    uneven: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Prefix of a route (`PATCH /api/v10/channels`) → its own number of requests and seconds."""
    whole: Bucket = field(default_factory=lambda: Bucket(50, 1.0))
    _routes: dict[str, Bucket] = field(default_factory=dict)

    def of(self, route: str) -> Bucket:
        """The bucket of a route with its major parameter."""
        bucket = self._routes.get(route)
        if bucket is None:
            mine = (limit for start, limit in self.uneven.items() if route.startswith(start))
            size, seconds = next(mine, (self.size, self.seconds))
            bucket = self._routes[route] = Bucket(size if self.enabled else 1000, seconds)
        return bucket

    def set(
        self,
        *,
        enabled: bool,
        size: int = 5,
        seconds: float = 5.0,
        uneven: dict[str, tuple[int, float]] | None = None,
    ) -> None:
        """Apply other limits and reset the buckets of all routes."""
        self.enabled, self.size, self.seconds = enabled, size, seconds
        self.uneven = {start: (limit[0], limit[1]) for start, limit in (uneven or {}).items()}
        self._routes.clear()
