"""Prints figures as they are measured, each beside its bar."""


class Figures:
    """Prints figures and counts the bars that were missed."""

    def __init__(self) -> None:
        self.missed = 0

    def show(self, name: str, value: str, bar: str = "", *, met: bool = True) -> None:
        mark = "" if not bar else ("ok" if met else "MISSED")
        self.missed += not met
        print(f"{name:<58} {value:>14}  {bar:<14} {mark}", flush=True)
