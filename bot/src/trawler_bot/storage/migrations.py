"""Migration steps that create the database tables, in order. A step never changes once it is
released.
"""

from typing import Final, LiteralString

LOCK: Final = 0x74_72_61_77_6C_65_72
"""Key of the advisory lock under which one of several bots runs the steps: `trawler` in ASCII."""

STEPS: Final[tuple[LiteralString, ...]] = (
    """
    create table requests (
        id bigint generated always as identity primary key,
        job text not null unique,
        guild_id bigint not null,
        channel_id bigint not null,
        requester_id bigint not null,
        url text not null,
        asked timestamptz not null default now()
    );
    create index requests_of_person on requests (requester_id, guild_id, asked desc);

    create table passes (
        job text primary key,
        token bytea not null,
        most_bytes bigint not null,
        expires timestamptz not null
    );

    create table limits (
        guild_id bigint not null,
        route text not null,
        most_bytes bigint not null,
        learnt timestamptz not null default now(),
        primary key (guild_id, route)
    );

    create table links (
        id text primary key,
        job text not null,
        sha256 text not null,
        name text not null,
        kind text not null,
        bytes bigint not null,
        expires timestamptz not null,
        revoked boolean not null default false,
        unique (job, sha256, name)
    );

    create table commands (
        application_id bigint primary key,
        digest text not null
    );
    """,
)
