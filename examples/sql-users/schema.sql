-- psql mail < schema.sql, as the database's owner. Then \password restante_users, and the same
-- password into secrets/accounts.

create table accounts (
    name text primary key,               -- ada@example.org, in lower case
    password text,                       -- from restante hash-password; null: locked
    maildrop text,                       -- a folder of /var/mail; null: the name
    networks text,                       -- '192.0.2.0/24 2001:db8::/32'; null: from anywhere
    disabled boolean not null default false,
    reason text                          -- what a disabled user is told
);

create role restante_users login;
grant select on accounts to restante_users;
