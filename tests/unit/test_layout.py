"""The traps of our folder names."""

import operator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_standard_operator_module_is_the_real_one() -> None:
    """A folder of ours bears its name."""
    assert operator.itemgetter(1)([3, 4]) == 4


def test_no_folder_that_shadows_a_module_is_a_package() -> None:
    """`operator/__init__.py` breaks Python itself; one under tests/ breaks pytest."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert [] == list((ROOT / "tests").rglob("__init__.py"))
