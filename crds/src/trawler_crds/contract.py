"""The base of every model that crosses a process, and the pieces their fields are made of."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_NONE_GIVEN: Final[set[str]] = set()


class Contract(BaseModel):
    """A frozen model in camelCase on the wire.

    Unknown fields are ignored, because an older reader must survive a newer writer. The API
    server refuses unknown fields on its own (`fieldValidation=Strict`).
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        use_enum_values=False,
        cache_strings="keys",  # 16,000 values that never come again would stay in memory
    )

    def model_post_init(self, _: Any) -> None:
        """Which fields were given is of no use here, and would be half of what a MediaJob weighs
        (ten thousand are kept in memory): all instances share one empty set.
        """
        object.__setattr__(self, "__pydantic_fields_set__", _NONE_GIVEN)

    def wire(self) -> dict[str, Any]:
        """The JSON shape: camelCase keys, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """CEL rules as (expression, message a person understands) for `json_schema_extra`."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]
    }


DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

DnsLabel = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        json_schema_extra=rules(
            (
                f"self.matches('{DNS_LABEL}')",
                "must be a DNS label: lower-case letters, digits and '-', at most 63",
            )
        ),
    ),
]
"""A queue, pool or object name (RFC 1123 label)."""

Int64 = Annotated[int, Field(json_schema_extra={"format": "int64"})]

Timestamp = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC, as Kubernetes writes it."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]

Snowflake = Annotated[str, Field(pattern=r"^[0-9]{1,20}$", max_length=20)]
"""A Discord id. A string, because JSON numbers lose its last digits."""
