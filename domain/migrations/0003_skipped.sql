-- Events that somebody has given up for the read models: `tandem parked drop`. The log keeps them.

create table skipped (
    user_id uuid not null,
    version integer not null,
    reason text not null,
    at timestamptz not null default now(),
    constraint skipped_pkey primary key (user_id, version)
);
