-- Events of several aggregates. Every event written so far, and every event of an older process, is one of a user.
--
-- The columns user_id hold the id of the aggregate, whichever it is. A later migration renames them, once no process
-- is left that has one aggregate only.

alter table events add column aggregate text not null default 'user';
