-- Events of several aggregates. Every event written so far, and every event of an older process, is one of a user.
--
-- The column user_id holds the id of the aggregate, whichever it is. The views give it that name, so that older and
-- newer processes work side by side; a later migration renames the column, once no older process is left.

alter table events add column aggregate text not null default 'user';

create view event_log as
    select position, partition, aggregate, user_id as aggregate_id, version, type, schema, data, metadata,
           occurred_at, xid
    from events;

create view command_results as
    select key, fingerprint, id, user_id as aggregate_id, version, answered_at from commands;

create view skipped_events as
    select user_id as aggregate_id, version, reason, at from skipped;

create view pending_erasures as
    select user_id as aggregate_id, blanked, last, erased_at from erasures;
