-- Users whose key may be another than the address in lower case: `tandem migrate` renews it (domain/email_keys.py).
-- A key with a space is that of a user whose address another user has, too.
create index users_email_keys on users (id)
    where octet_length(email) <> char_length(email) or email_key like '% %';
