-- Which log this is: made once, carried along by every dump and every copy of the data directory.
alter table topology add column log uuid not null default gen_random_uuid();
