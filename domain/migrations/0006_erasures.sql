-- Erased users whose events still hold personal data: `domain/erasures.py` blanks it in slices.

create table erasures (
    user_id uuid not null,
    blanked integer not null,              -- the events up to this version are done
    last integer not null,                 -- the version of the last event before the erasure
    erased_at timestamptz not null,
    constraint erasures_pkey primary key (user_id)
);
