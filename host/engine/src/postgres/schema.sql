-- Version 1. All that is changed is changed by functions: one call is one statement, one round
-- trip and one transaction, so that none stays open while a node is away, and a pooler between
-- (PgBouncer in transaction mode) makes no difference. Each function can be called again with
-- the same arguments and changes nothing then: that is how a node finds out what became of a
-- call whose answer was lost.

create table restante.node (
    id text primary key, term bigint not null,
    -- Null: it was left.
    expires timestamptz, about text not null) with (fillfactor = 50);

-- A row stays when its hold is released: fences grow also if the clock was set back.
create table restante.hold (
    key text primary key, token uuid, node text not null, term bigint not null,
    fence bigint not null, since timestamptz not null) with (fillfactor = 50);

-- Removals that were made, each by a name of its own. One marker for each, since a node that was
-- stopped may ask for its own after another has removed something too.
create table restante.removal (change uuid primary key, at timestamptz not null);
create index removal_at on restante.removal (at);

create table restante.maildrop (
    id bigint generated always as identity primary key,
    tenant text not null, name text not null, folder text not null,
    epoch bigint not null, version bigint not null default 0, pruned bigint not null default 0,
    messages bigint not null default 0, octets bigint not null default 0,
    weight bigint not null default 0, bytes bigint not null default 0,
    unique (tenant, name, folder)) with (fillfactor = 50);

create table restante.message (
    maildrop bigint not null, number bigint not null, unique_id text collate "C",
    octets bigint not null, surrogate bigint, received bigint not null,
    name text not null, weight bigint not null, place text, path text,
    primary key (maildrop, number)) partition by hash (maildrop);
do $$ begin
    for part in 0..15 loop
        execute format('create table restante.message_%s partition of restante.message
            for values with (modulus 16, remainder %s)', part, part);
    end loop;
end $$;
create unique index message_unique_id on restante.message (maildrop, unique_id)
    where unique_id is not null;

create table restante.gone (
    maildrop bigint not null, version bigint not null, number bigint not null,
    unique_id text not null, at timestamptz not null,
    primary key (maildrop, version, number));
create index gone_at on restante.gone (at);

-- Of a message without a digest, the name of the call that appended it is one.
create table restante.seen (
    maildrop bigint not null, digest bytea not null, change uuid not null,
    unique_id text not null, at timestamptz not null,
    primary key (maildrop, digest));
create index seen_at on restante.seen (at);

create table restante.intent (
    place text collate "C", path text collate "C", change uuid not null, at timestamptz not null,
    primary key (place, path));
create index intent_at on restante.intent (at);

create table restante.garbage (
    place text collate "C", path text collate "C", primary key (place, path));

-- Blobs: what is here is whole. Its octets are in parts of 256 KiB.
create table restante.blob (
    place text collate "C", path text collate "C", upload uuid not null, octets bigint not null,
    primary key (place, path));
create table restante.part (
    upload uuid, part int, octets bytea not null, primary key (upload, part));
-- Mail is compressed badly, and parts of what is not compressed are read without the rest.
alter table restante.part alter column octets set storage external;
-- Blobs of more than one part that are being written.
create table restante.upload (id uuid primary key, at timestamptz not null);
create index upload_at on restante.upload (at);

-- A change lasts when its commit is told, at the standby too where there is a synchronous one;
-- whoever configured more than that gets it. No call waits for a row longer than a node does.
create function restante.lasting() returns void language sql as $$
    select set_config('lock_timeout', '4s', true),
        case when current_setting('synchronous_commit') in ('off', 'local', 'remote_write')
            then set_config('synchronous_commit', 'on', true) end
$$;

-- To lose the last of it in a crash costs a refused removal, never a wrong one; and what was lost
-- is before what comes: see `next_fence`.
create function restante.quick() returns void language sql as $$
    select set_config('lock_timeout', '4s', true), set_config('synchronous_commit', 'off', true)
$$;

-- Microseconds since 1970, or one more than the last fence of the key (null: none is known). No
-- sequence: a crash, a standby that was behind and a backup would take back its last numbers
-- together with the holds that had them. The clock goes on meanwhile. Below 2^53 until 2255.
create function restante.next_fence(last_fence bigint) returns bigint language sql volatile as $$
    select greatest(last_fence + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
$$;

create function restante.join_node(node_id text, said text, lasts float8) returns bigint
language plpgsql as $$
declare joined bigint;
begin
    perform restante.lasting();
    insert into restante.node as n (id, term, expires, about)
        values (node_id, 1, now() + make_interval(secs => lasts), said)
    on conflict (id) do update
        set term = n.term + 1, expires = excluded.expires, about = excluded.about
    returning n.term into joined;
    return joined;
end $$;

create function restante.beat(node_id text, node_term bigint, lasts float8) returns boolean
language plpgsql as $$
begin
    perform restante.quick();
    update restante.node set expires = now() + make_interval(secs => lasts)
        where id = node_id and term = node_term and expires is not null;
    return found;
end $$;

create function restante.leave(node_id text, node_term bigint) returns void
language plpgsql as $$
begin
    perform restante.quick();
    update restante.node set expires = null where id = node_id and term = node_term;
end $$;

-- `own`: what this node holds in this term is nobody's there any more; the answer to the call
-- that acquired or released it was lost.
create function restante.acquire(
    hold_key text, hold_token uuid, taker text, taker_term bigint, own boolean,
    out outcome text, out holder text, out held_since bigint, out hold_fence bigint)
language plpgsql as $$
declare h restante.hold;
begin
    perform restante.quick();
    perform from restante.node
        where id = taker and term = taker_term and expires > clock_timestamp();
    if not found then
        outcome := 'over';
        return;
    end if;
    loop
        -- A removal has this row locked until it is committed.
        select * into h from restante.hold where key = hold_key for update;
        exit when found;
        insert into restante.hold (key, token, node, term, fence, since)
            values (hold_key, hold_token, taker, taker_term, restante.next_fence(null), now())
        on conflict do nothing returning fence into hold_fence;
        if found then
            outcome := 'held';
            return;
        end if;
    end loop;
    -- A statement of its own, after the wait: it sees who came meanwhile.
    if h.token is not null and h.token <> hold_token
        and not (own and h.node = taker and h.term = taker_term)
        and exists (select from restante.node n
            where n.id = h.node and n.term = h.term and n.expires > clock_timestamp())
    then
        outcome := 'in use';
        holder := h.node;
        held_since := floor(extract(epoch from h.since))::bigint;
        return;
    end if;
    -- After the wait likewise: fences grow in the order of the holds.
    update restante.hold set token = hold_token, node = taker, term = taker_term,
        fence = restante.next_fence(fence), since = now()
        where key = hold_key returning fence into hold_fence;
    outcome := 'held';
end $$;

create function restante.release(hold_key text, hold_token uuid) returns void
language plpgsql as $$
begin
    perform restante.quick();
    update restante.hold set token = null where key = hold_key and token = hold_token;
end $$;

create function restante.intend(a_place text, a_path text, a_change uuid) returns boolean
language plpgsql as $$
begin
    perform restante.lasting();
    insert into restante.intent as i (place, path, change, at)
        select a_place, a_path, a_change, now() where not exists (
            select from restante.garbage where place = a_place and path = a_path)
    on conflict (place, path) do update set at = i.at where i.change = excluded.change;
    return found;
end $$;

create function restante.append(
    a_change uuid, a_tenant text, a_name text, a_folder text, new_epoch bigint,
    brought text, new_octets bigint, new_surrogate bigint, new_received bigint,
    entry_name text, new_digest bytea, new_weight bigint,
    most_weight bigint, most_messages bigint, most_bytes bigint,
    a_place text, a_path text, remembers float8,
    out outcome text, out made text)
language plpgsql as $$
declare
    m restante.maildrop;
    s restante.seen;
    key bytea := coalesce(new_digest, uuid_send(a_change));
    size bigint;
begin
    perform restante.lasting();
    loop
        -- Until the commit: numbers are in the order of the commits.
        select * into m from restante.maildrop
            where tenant = a_tenant and name = a_name and folder = a_folder for update;
        exit when found;
        insert into restante.maildrop (tenant, name, folder, epoch)
            values (a_tenant, a_name, a_folder, new_epoch) on conflict do nothing;
    end loop;
    select * into s from restante.seen where maildrop = m.id and digest = key;
    if found and s.change = a_change then
        outcome := 'kept';
        made := s.unique_id;
        return;
    elsif found and s.at > now() - make_interval(secs => remembers) then
        outcome := 'duplicate';
        return;
    end if;
    made := coalesce(brought, to_hex(m.epoch) || '.' || to_hex(m.version + 1));
    -- As `entry_bytes` has it.
    size := 34 + octet_length(made) + octet_length(entry_name);
    if m.messages + 1 > most_messages or m.weight + new_weight > most_weight
        or m.bytes + size > most_bytes
    then
        outcome := 'full';
        return;
    end if;
    if brought is not null then
        if starts_with(brought, to_hex(m.epoch) || '.') then
            outcome := 'made here';
            return;
        end if;
        perform from restante.message where maildrop = m.id and unique_id = brought;
        if found then
            outcome := 'there';
            return;
        end if;
    end if;
    if a_place is not null then
        delete from restante.intent where place = a_place and path = a_path;
        if not found then
            outcome := 'not intended';
            return;
        end if;
    end if;
    update restante.maildrop set version = version + 1, messages = messages + 1,
        octets = octets + new_octets, weight = weight + new_weight, bytes = bytes + size
        where id = m.id;
    insert into restante.message (maildrop, number, unique_id, octets, surrogate, received,
        name, weight, place, path)
        values (m.id, m.version + 1, brought, new_octets, new_surrogate, new_received,
            entry_name, new_weight, a_place, a_path);
    insert into restante.seen (maildrop, digest, change, unique_id, at)
        values (m.id, key, a_change, made, now())
    on conflict (maildrop, digest) do update
        set change = excluded.change, unique_id = excluded.unique_id, at = excluded.at;
    outcome := 'kept';
end $$;

-- `epochs` and `numbers` are what a unique-id says if it is of the kind that is made here.
create function restante.remove(
    a_change uuid, hold_key text, hold_token uuid, a_tenant text, a_name text, a_folder text,
    ids text[], epochs bigint[], numbers bigint[],
    out outcome text, out missing text)
language plpgsql as $$
declare
    m restante.maildrop;
    is_held boolean;
    chosen bigint[];
    lost record;
begin
    perform restante.lasting();
    -- Whoever takes over waits for this row until the commit; what was sent before waits too.
    perform from restante.hold where key = hold_key and token = hold_token for update;
    is_held := found;
    -- A write, so that this commit waits for the standby as the one that is asked for did: a
    -- primary that crashed meanwhile shows what its standby may not have.
    update restante.removal set at = at where change = a_change;
    if found then
        outcome := 'removed';
        return;
    elsif not is_held then
        outcome := 'lost';
        return;
    elsif cardinality(ids) = 0 then
        outcome := 'removed';
        return;
    end if;
    select * into m from restante.maildrop
        where tenant = a_tenant and name = a_name and folder = a_folder for update;
    if not found then
        outcome := 'missing';
        missing := ids[1];
        return;
    end if;
    with wanted as materialized (
        select id, case when epoch = m.epoch then number end as number
        from unnest(ids, epochs, numbers) as w (id, epoch, number)
    ), sought as (
        select w.id, x.number from wanted w left join restante.message x
            on x.maildrop = m.id and x.number = w.number and x.unique_id is null
            where w.number is not null
        union all
        select w.id, x.number from wanted w left join restante.message x
            on x.maildrop = m.id and x.unique_id = w.id
            where w.number is null
    )
    select array_agg(f.number), min(f.id) filter (where f.number is null)
        into chosen, missing from sought f;
    if missing is not null then
        outcome := 'missing';
        return;
    end if;
    with taken as (
        delete from restante.message where maildrop = m.id and number = any (chosen)
        returning number, octets, weight, name, place, path,
            coalesce(unique_id, to_hex(m.epoch) || '.' || to_hex(number)) as id
    ), told as (
        insert into restante.gone (maildrop, version, number, unique_id, at)
        select m.id, m.version + 1, number, id, now() from taken
    ), thrown as (
        insert into restante.garbage (place, path)
        select place, path from taken where place is not null on conflict do nothing
    )
    select count(*) as messages, sum(octets)::bigint as octets, sum(weight)::bigint as weight,
        sum(34 + octet_length(name) + octet_length(id))::bigint as bytes
        into lost from taken;
    update restante.maildrop set version = version + 1, messages = messages - lost.messages,
        octets = octets - lost.octets, weight = weight - lost.weight, bytes = bytes - lost.bytes
        where id = m.id;
    insert into restante.removal (change, at) values (a_change, now());
    outcome := 'removed';
end $$;

create function restante.expire(
    most int, changes_for float8, duplicates_for float8, intents_for float8) returns bigint
language plpgsql as $$
declare
    before timestamptz := now() - make_interval(secs => intents_for);
    rows bigint;
    total bigint := 0;
begin
    perform restante.lasting();
    with taken as (
        delete from restante.intent where (place, path) in (
            select place, path from restante.intent where at <= before
            order by at limit most for update skip locked)
        returning place, path
    ), thrown as (
        insert into restante.garbage (place, path) select place, path from taken
        on conflict do nothing
    )
    select count(*) into rows from taken;
    total := total + rows;
    delete from restante.part where upload in (
        select id from restante.upload where at <= before order by at limit most);
    delete from restante.upload where id in (
        select id from restante.upload where at <= before order by at limit most);
    get diagnostics rows = row_count;
    total := total + rows;
    before := now() - make_interval(secs => changes_for);
    with taken as (
        delete from restante.gone where (maildrop, version, number) in (
            select maildrop, version, number from restante.gone where at <= before
            order by at limit most for update skip locked)
        returning maildrop, version
    ), newest as (
        select maildrop, max(version) as version from taken group by maildrop
    ), noted as (
        update restante.maildrop m set pruned = greatest(m.pruned, n.version)
        from newest n where m.id = n.maildrop
    )
    select count(*) into rows from taken;
    total := total + rows;
    -- Not counted: no more of them than of what they removed.
    delete from restante.removal where change in (
        select change from restante.removal where at <= before
        order by at limit most for update skip locked);
    before := now() - make_interval(secs => duplicates_for);
    delete from restante.seen where (maildrop, digest) in (
        select maildrop, digest from restante.seen where at <= before
        order by at limit most for update skip locked);
    get diagnostics rows = row_count;
    return total + rows;
end $$;

create function restante.begin_upload(a_upload uuid) returns void language plpgsql as $$
begin
    perform restante.quick();
    insert into restante.upload (id, at) values (a_upload, now()) on conflict do nothing;
end $$;

create function restante.write_part(a_upload uuid, a_part int, a_octets bytea) returns boolean
language plpgsql as $$
begin
    -- The commit that finishes the blob takes all parts with it.
    perform restante.quick();
    -- What is too old is thrown away: no part comes behind that.
    perform from restante.upload where id = a_upload for key share;
    if not found then
        return false;
    end if;
    insert into restante.part (upload, part, octets) values (a_upload, a_part, a_octets)
    on conflict do nothing;
    return true;
end $$;

-- `last`: its only part, if no upload was begun.
create function restante.finish_blob(
    a_place text, a_path text, a_upload uuid, a_octets bigint, last bytea) returns text
language plpgsql as $$
declare other uuid;
begin
    perform restante.lasting();
    insert into restante.blob as b (place, path, upload, octets)
        values (a_place, a_path, a_upload, a_octets)
    on conflict (place, path) do update set octets = b.octets returning upload into other;
    if other <> a_upload then
        return 'there';
    end if;
    if last is not null then
        insert into restante.part (upload, part, octets) values (a_upload, 0, last)
        on conflict do nothing;
    else
        delete from restante.upload where id = a_upload;
        if (select coalesce(sum(length(octets)), 0) from restante.part
            where upload = a_upload) <> a_octets
        then
            delete from restante.blob where place = a_place and path = a_path;
            return 'too old';
        end if;
    end if;
    return 'finished';
end $$;

create function restante.remove_blobs(a_place text, paths text[]) returns void
language plpgsql as $$
begin
    perform restante.lasting();
    with taken as (
        delete from restante.blob where place = a_place and path = any (paths) returning upload
    )
    delete from restante.part where upload in (select upload from taken);
end $$;

-- What the servers must agree on, as the first that knew it has said. A row each.
create table restante.agreement (name text primary key, said text not null);

-- What is agreed on then.
create function restante.agree(a_name text, text_said text) returns text
language plpgsql as $$
declare agreed text;
begin
    perform restante.lasting();
    insert into restante.agreement (name, said) values (a_name, text_said)
        on conflict (name) do nothing;
    select a.said into agreed from restante.agreement a where a.name = a_name;
    return agreed;
end $$;

-- Null: on nothing.
create function restante.agree_anew(a_name text, text_said text) returns void
language plpgsql as $$
begin
    perform restante.lasting();
    if text_said is null then
        delete from restante.agreement where name = a_name;
    else
        insert into restante.agreement (name, said) values (a_name, text_said)
            on conflict (name) do update set said = excluded.said;
    end if;
end $$;
