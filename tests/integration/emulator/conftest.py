"""The emulator for each test, and a check that everything said conforms to Discord's
description.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from emulated import Emulated, Person, Stock


@pytest_asyncio.fixture
async def emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulated]:
    found = Emulated(tmp_path)
    async with found.discord.serving():
        found.point(monkeypatch)
        yield found
    assert [] == found.checker.violations


@pytest_asyncio.fixture
async def stock(emulated: Emulated) -> AsyncIterator[Stock]:
    async with emulated.client() as client:
        yield client


@pytest_asyncio.fixture
async def ben(emulated: Emulated) -> AsyncIterator[Person]:
    async with emulated.person(emulated.ben) as person:
        yield person
