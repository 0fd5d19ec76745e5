-- What was remembered of keys could confirm a guess at a name or an address, also after its user was erased.

-- The fingerprints of a user's commands are keyed with it; null once erased, so that nobody can try names on them.
alter table users add column secret uuid default gen_random_uuid();
update users set secret = null where erased_at is not null;

-- Clients make up keys of anything, addresses too, so only their SHA-256 is kept.
alter table commands alter column key type bytea using sha256(convert_to(key, 'UTF8'));

-- The old fingerprints were not keyed. An empty one is that of any request: these keys are answered as before.
update commands set fingerprint = '';
