-- Version 2. What nodes tell one another with their heartbeats, and what counts of logins on all of
-- them.

-- Fences were a sequence's once.
create or replace function restante.next_fence(last_fence bigint) returns bigint language sql volatile as $$
    select greatest(last_fence + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
$$;
drop sequence if exists restante.fence;

-- The last login that had the key: whose, and when it acquired it. The index is on what changes
-- only if another user has the maildrop, so that holds stay updates in place.
alter table restante.hold add column visitor text, add column visited timestamptz;
create index hold_visitor on restante.hold (visitor) where visitor is not null;

-- Unlogged: after a crash, or on a standby that was promoted, they are empty, and nodes tell all
-- of it again.
create unlogged table restante.told (node text primary key, term bigint not null);
create unlogged table restante.session (
    node text, id text, term bigint not null, tenant text not null, user_name text not null,
    client text not null, listener text not null, tls text, since bigint not null,
    primary key (node, id));
create unlogged table restante.penalty (
    network text, node text, failures int not null, since timestamptz not null,
    expires timestamptz not null, number bigint not null, primary key (network, node));
create index penalty_number on restante.penalty (number);
create index penalty_expires on restante.penalty (expires);
-- What a node is asked for: to end a session, or those of a user or a tenant; or what a user has
-- that holds a key by the hold of this fence, for a session of the same user.
create unlogged table restante.asked (
    number bigint primary key, node text not null, term bigint not null,
    session text, tenant text, user_name text, held text, fence bigint,
    expires timestamptz not null);
create index asked_node on restante.asked (node);
create sequence restante.news;

-- Whether a node's term runs.
create function restante.runs(node_id text, node_term bigint) returns boolean
language sql stable as $$
    select exists (select from restante.node n
        where n.id = node_id and n.term = node_term and n.expires > clock_timestamp())
$$;

-- A heartbeat, and what is told with it both ways; no row: the term is over. Rows are "asked",
-- "penalty" (the newest first), "left out" (how many), "again" (what was told of sessions is
-- lost) and "failed" (why: then the others mean nothing), and one that is "beat". `most`: so many
-- of each are told; 0: nothing is told either way.
create function restante.exchange(
    node_id text, node_term bigint, lasts float8,
    is_whole boolean, begun text[], tenants text[], users text[], clients text[],
    listeners text[], tls_versions text[], begun_at bigint[], ended text[],
    networks text[], counts int[], ages float8[], remains float8[],
    heard bigint[], last_penalty bigint, most int,
    out kind text, out about bigint, out one text, out two text, out three text, out four text,
    out age float8, out remaining float8, out fence bigint) returns setof record
language plpgsql as $$
declare
    gone restante.told;
    last bigint;
    rows bigint;
begin
    perform restante.quick();
    update restante.node n set expires = now() + make_interval(secs => lasts)
        where n.id = node_id and n.term = node_term and n.expires is not null;
    if not found then
        return;
    end if;
    kind := 'beat';
    return next;
    if most = 0 then
        return;
    end if;
    begin
        -- Less than the node waits for its heartbeat.
        perform set_config('lock_timeout', '1s', true);
        if is_whole then
            insert into restante.told as t (node, term) values (node_id, node_term)
            on conflict (node) do update set term = excluded.term;
            delete from restante.session s where s.node = node_id;
        end if;
        perform from restante.told t where t.node = node_id and t.term = node_term;
        if not found then
            kind := 'again';
            return next;
        else
            if cardinality(ended) > 0 then
                delete from restante.session s where s.node = node_id and s.id = any (ended);
            end if;
            if cardinality(begun) > 0 then
                insert into restante.session
                    (node, id, term, tenant, user_name, client, listener, tls, since)
                select node_id, b.id, node_term, b.tenant, b.user_name, b.client, b.listener,
                    b.tls, b.since
                from unnest(begun, tenants, users, clients, listeners, tls_versions, begun_at)
                    as b (id, tenant, user_name, client, listener, tls, since)
                on conflict do nothing;
            end if;
        end if;
        if cardinality(networks) > 0 then
            -- Until the commit: numbers are in the order of the commits, and none is missed.
            perform pg_advisory_xact_lock(8242559012087214180);
            insert into restante.penalty as p (network, node, failures, since, expires, number)
            select w.network, node_id, w.failures, now() - make_interval(secs => w.age),
                now() + make_interval(secs => w.remaining), nextval('restante.news')
            from unnest(networks, counts, ages, remains) as w (network, failures, age, remaining)
            on conflict on constraint penalty_pkey do update set failures = excluded.failures,
                since = excluded.since, expires = excluded.expires, number = excluded.number;
        end if;
        if cardinality(heard) > 0 then
            delete from restante.asked a where a.number = any (heard) and a.node = node_id;
        end if;
        return query select 'asked', a.number, a.session, a.tenant, a.user_name, a.held,
            null::float8, null::float8, a.fence
            from restante.asked a
            where a.node = node_id and a.term = node_term and a.expires > now()
            order by a.number limit most;
        -- After a crash numbers may begin before those that were told.
        select n.last_value into last from restante.news n;
        if last_penalty <= last then
            last := last_penalty;
        else
            last := 0;
        end if;
        return query select 'penalty', p.number, p.network, p.failures::text, null::text,
            null::text,
            extract(epoch from now() - p.since)::float8,
            extract(epoch from p.expires - now())::float8, null::bigint
            from restante.penalty p
            where p.number > last and p.node <> node_id and p.expires > now()
            order by p.number desc limit most;
        get diagnostics rows = row_count;
        if rows = most then
            select count(*) - most into about from restante.penalty p
                where p.number > last and p.node <> node_id and p.expires > now();
            kind := 'left out';
            return next;
        end if;
        -- What nobody needs any more; nodes that are gone, one with each heartbeat.
        delete from restante.penalty p where (p.network, p.node) in (
            select e.network, e.node from restante.penalty e where e.expires <= now()
            order by e.expires limit most for update skip locked);
        delete from restante.asked a where a.number in (
            select e.number from restante.asked e where e.expires <= now()
            for update skip locked);
        select t.* into gone from restante.told t where not restante.runs(t.node, t.term)
            limit 1 for update skip locked;
        if found then
            delete from restante.session s where s.node = gone.node and s.term = gone.term;
            delete from restante.told t where t.node = gone.node and t.term = gone.term;
        end if;
    exception when others then
        -- The heartbeat is one all the same.
        kind := 'failed';
        one := sqlerrm;
        return next;
    end;
end $$;

drop function restante.beat(text, bigint, float8);

-- Asks other nodes, or the one that is named, to end sessions, and tells those that are known to
-- be meant.
create function restante.end_sessions(
    asker text, only_node text, a_session text, a_tenant text, a_user text, a_held text,
    a_fence bigint, lasts float8, most int) returns setof restante.session
language plpgsql as $$
begin
    perform restante.quick();
    insert into restante.asked
        (number, node, term, session, tenant, user_name, held, fence, expires)
    select nextval('restante.news'), n.id, n.term, a_session, a_tenant, a_user, a_held, a_fence,
        now() + make_interval(secs => lasts)
    from restante.node n
    where n.expires > now() and n.id <> asker and (only_node is null or n.id = only_node);
    return query select s.* from restante.session s
        where s.node <> asker and (only_node is null or s.node = only_node)
            and (a_session is null or a_held is not null or s.id = a_session)
            and (a_tenant is null or s.tenant = a_tenant)
            and (a_user is null or s.user_name = a_user)
            and restante.runs(s.node, s.term)
        order by s.since, s.id limit most;
end $$;

drop function restante.acquire(text, uuid, text, bigint, boolean);

-- `own`: what this node holds in this term is nobody's there any more; the answer to the call
-- that acquired or released it was lost. `a_visitor`: whose login it is, if it is one; `delay`:
-- from the visitor's last login to this one, in seconds; `elsewhere`: so many keys other nodes
-- may hold for the visitor. `wait`: for how long the visitor would have to wait still; of what is
-- in use, if a login of its own has it and gave it up.
create function restante.acquire(
    hold_key text, hold_token uuid, taker text, taker_term bigint, own boolean,
    a_visitor text, delay float8, elsewhere bigint,
    out outcome text, out holder text, out held_since bigint, out hold_fence bigint,
    out wait float8)
language plpgsql as $$
declare
    h restante.hold;
    is_held boolean;
    more bigint;
begin
    perform restante.quick();
    perform from restante.node
        where id = taker and term = taker_term and expires > clock_timestamp();
    if not found then
        outcome := 'over';
        return;
    end if;
    if a_visitor is not null then
        -- Logins of one visitor take turns, or two at once would not know of each other. Before
        -- any row is locked: nobody who waits here keeps others waiting.
        perform pg_advisory_xact_lock(hashtextextended(a_visitor, 2449));
    end if;
    loop
        -- A removal has this row locked until it is committed.
        select * into h from restante.hold where key = hold_key for update;
        -- A statement of its own, after the wait: it sees who came meanwhile.
        is_held := h.token is not null and h.token <> hold_token
            and not (own and h.node = taker and h.term = taker_term)
            and exists (select from restante.node n
                where n.id = h.node and n.term = h.term and n.expires > clock_timestamp());
        if is_held then
            outcome := 'in use';
            holder := h.node;
            held_since := floor(extract(epoch from h.since))::bigint;
            hold_fence := h.fence;
            if h.visitor is distinct from a_visitor or a_visitor is null then
                return;
            end if;
        end if;
        if a_visitor is not null and h.token is distinct from hold_token then
            -- A login that would end one of its visitor's comes after that one.
            select extract(epoch from greatest(max(v.visited), case when is_held then h.since end)
                    - clock_timestamp())::float8 + delay,
                count(*) filter (where v.token is not null and v.key <> hold_key
                    and v.node <> taker and restante.runs(v.node, v.term))
                into wait, more from restante.hold v where v.visitor = a_visitor;
            if delay > 0 and wait > 0 then
                outcome := coalesce(outcome, 'too soon');
                return;
            elsif more > elsewhere then
                outcome := 'too many';
                return;
            elsif is_held then
                wait := 0;
                return;
            end if;
        end if;
        exit when h.key is not null;
        insert into restante.hold (key, token, node, term, fence, since, visitor)
            values (hold_key, hold_token, taker, taker_term, restante.next_fence(null), now(),
                a_visitor)
        on conflict do nothing returning fence into hold_fence;
        if found then
            outcome := 'held';
            return;
        end if;
    end loop;
    -- After the wait likewise: fences grow in the order of the holds. A last login of another
    -- visitor's is forgotten.
    update restante.hold set token = hold_token, node = taker, term = taker_term,
        fence = restante.next_fence(fence), since = now(),
        visitor = coalesce(a_visitor, visitor),
        visited = case when a_visitor is null or a_visitor = visitor then visited end
        where key = hold_key returning fence into hold_fence;
    outcome := 'held';
end $$;

-- After a login that was one.
create function restante.release_login(hold_key text, hold_token uuid) returns void
language plpgsql as $$
begin
    perform restante.quick();
    update restante.hold set token = null, visited = since
        where key = hold_key and token = hold_token;
end $$;
