"""What a job process says is read as what anybody may have written."""

from typing import Any

import pytest
from pydantic import ValidationError

from trawler_worker.protocol import MAX_FILES, Done, Moved, ValidFile

FILE = {
    "path": "u-1-1.mp4",
    "inode": 1,
    "changed_ns": 1,
    "name": "a.mp4",
    "bytes": 1,
    "type": "video/mp4",
    "verified": "Length",
}


@pytest.mark.parametrize("bytes_", [-1, 2**63, 10**400])
def test_a_count_is_one_that_a_disk_could_have(bytes_: int) -> None:
    """Of four hundred digits, it could not be divided: the agent fell over it."""
    with pytest.raises(ValidationError):
        Moved.model_validate({"job": "u-1", "stage": "Fetching", "bytes": bytes_})


@pytest.mark.parametrize(
    "odd", [{"seconds": float("inf")}, {"seconds": float("nan")}, {"width": -1}, {"inode": 10**30}]
)
def test_a_file_has_measures_that_exist(odd: dict[str, Any]) -> None:
    """They are written into a status as they are."""
    assert ValidFile.model_validate(FILE)
    with pytest.raises(ValidationError):
        ValidFile.model_validate(FILE | odd)


def test_a_job_has_so_many_files_at_most() -> None:
    """One good file named two thousand times made a line that the agent took for nonsense."""
    with pytest.raises(ValidationError):
        Done.model_validate({"job": "u-1", "files": [FILE] * (MAX_FILES + 1)})
