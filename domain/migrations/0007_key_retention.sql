-- Idempotency keys are deleted in the order of their answers, once they are older than IDEMPOTENCY_RETENTION.

-- Where it was built by hand before (docs/operations.md), so that no command waits. What failed then is dropped.
do $$
begin
    if exists (select from pg_index where indexrelid = to_regclass('commands_answered_at') and not indisvalid) then
        drop index commands_answered_at;
    end if;
end
$$;

create index if not exists commands_answered_at on commands (answered_at);
