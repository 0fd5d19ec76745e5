-- The write model: what commands decide on (users, orders), what happened (events), and what was answered (commands).

create table users (
    id uuid primary key,
    name text not null,
    email text not null,
    email_key text,                        -- null once erased, so that the address is free again
    version integer not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    erased_at timestamptz,
    constraint users_email_key unique (email_key)
);

create table orders (
    id uuid primary key,
    user_id uuid not null references users (id),
    status text not null check (status in ('OPEN', 'COMPLETED', 'CANCELLED')),
    total bigint not null check (total > 0), -- minor units
    placed_at timestamptz not null,
    closed_at timestamptz
);

create index orders_user_id on orders (user_id);

-- The event log. Append-only: only the personal fields of an erased user's events are ever blanked.
create table events (
    position bigint not null generated always as identity,
    partition smallint not null,
    user_id uuid not null,
    version integer not null,
    type text not null,
    schema smallint not null,
    data jsonb not null,
    metadata jsonb not null,
    occurred_at timestamptz not null,
    xid xid8 not null default pg_current_xact_id(),
    constraint events_pkey primary key (partition, position), -- pages of a backlog or a rebuild
    constraint events_user_version unique (user_id, version)  -- one user's history
);

-- The relay's window: what became visible since a snapshot, however long the log is.
create index events_window on events (partition, xid) include (position);

-- The answer to every command that came with an idempotency key.
create table commands (
    key text primary key,
    fingerprint bytea not null,
    id uuid not null,
    user_id uuid not null,
    version integer not null,
    answered_at timestamptz not null
);

-- The number of partitions, fixed for ever: rows, streams and keys are placed by it.
create table topology (
    only_row boolean primary key default true check (only_row),
    partitions smallint not null check (partitions > 0)
);
