-- What is claimed costs the same however much is due, and for however many. Whose lanes come into question is found
-- first: those of the lanes that were due first, and partners whose probe is due. Where these have no room (they hang, or
-- their breakers are open) the others that have something waiting are looked at in turns.

create index breaker_probe on dispatch.breaker (probe_at) where is_open;

-- Where the next turn begins.
create table dispatch.claim_turn (only_one boolean primary key default true check (only_one), after uuid not null);
insert into dispatch.claim_turn (after) values ('00000000-0000-0000-0000-000000000000');

-- The next recipients in a turn that have something waiting: `most`, or all there are.
create function dispatch.in_turn(after uuid, most int) returns table (recipient_id uuid, place int)
language sql stable set enable_seqscan = off as $$
    with recursive ring as (
        select after as recipient_id, 0 as place, null::uuid as first
        union all
        select x.next, r.place + 1, coalesce(r.first, x.next) from ring r cross join lateral (select coalesce(
            (select l.recipient_id from dispatch.lane l
             where l.due_at is not null and l.recipient_id > r.recipient_id order by l.recipient_id limit 1),
            (select l.recipient_id from dispatch.lane l
             where l.due_at is not null order by l.recipient_id limit 1)) as next) x
        where r.place < most and x.next is not null and x.next is distinct from r.first
    )
    select r.recipient_id, r.place from ring r where r.place > 0
$$;

-- Locks lanes that are due, withdrawals first, within the room of each of these recipients. Plans are made once and do
-- not depend on how full the tables were just then.
create function dispatch.lock_due(candidates uuid[], moment timestamptz, most int, most_withdrawals int,
    out recipients uuid[], out alerts uuid[])
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    with busy as materialized (
        select l.recipient_id, count(*)::int as n from unnest(candidates) as c(recipient_id)
        join dispatch.lane l using (recipient_id)
        where l.owner is not null and l.lease_until > moment group by 1
    ), room as materialized (
        -- one slot is kept for withdrawals; they pass an open breaker too, and reach whoever is paused
        select r.recipient_id, r.in_flight_cap - coalesce(b.n, 0) as withdrawals,
               case when r.state <> 'active' or coalesce(k.is_open, false) then 0
                    else least(r.in_flight_cap - 1, k.allowed) - coalesce(b.n, 0) end as others,
               r.state = 'active' and coalesce(k.is_open and k.probe_at <= moment, false)
                   and coalesce(b.n, 0) = 0 as probe
        from unnest(candidates) as c(recipient_id) join dispatch.recipient r using (recipient_id)
        left join busy b using (recipient_id) left join dispatch.breaker k using (recipient_id)
    ), due as materialized (
        select room.recipient_id, c.alert_id, c.withdrawal, c.due_at, room.withdrawals, room.others, c.probe
        from room cross join lateral (
            -- both kinds in the order of one index: were they asked for apart, a plan made while nothing was withdrawn
            -- would walk through every withdrawal for each recipient
            (select l.alert_id, l.withdrawal, l.due_at, false as probe from dispatch.lane l
             where l.recipient_id = room.recipient_id and l.due_at <= moment
               and (l.owner is null or l.lease_until <= moment)
             order by l.withdrawal desc, l.due_at limit greatest(room.withdrawals, 0))
            union all
            (select l.alert_id, l.withdrawal, l.due_at, true from dispatch.lane l
             where room.probe and l.recipient_id = room.recipient_id and l.due_at is not null
               and (l.owner is null or l.lease_until <= moment)
             order by l.withdrawal desc, l.due_at limit 1)
        ) c
    ), ranked as materialized (
        select d.*, row_number() over (partition by d.recipient_id order by d.withdrawal desc, d.due_at) as place
        from due d
    ), fitting as materialized (
        select f.recipient_id, f.alert_id, f.withdrawal, f.due_at, f.probe,
               row_number() over (order by f.withdrawal desc, f.due_at) as place
        from ranked f where f.probe or f.place <= case when f.withdrawal then f.withdrawals else f.others end
    ), locked as materialized (
        select l.recipient_id, l.alert_id, f.probe
        from dispatch.lane l join (select distinct on (x.recipient_id, x.alert_id) * from fitting x
                                   where x.place <= case when x.withdrawal then most_withdrawals else most end
                                   order by x.recipient_id, x.alert_id) f
            using (recipient_id, alert_id)
        where l.due_at is not null and (l.owner is null or l.lease_until <= moment)
        order by l.recipient_id, l.alert_id
        for update of l skip locked
    ), probed as materialized (
        -- never waits: whoever holds the row may be a sender that is stopped
        select k.recipient_id from dispatch.breaker k
        where k.is_open and k.recipient_id in (select x.recipient_id from locked x) for update skip locked
    ), probing as (
        update dispatch.breaker k
        set probe_at = moment + make_interval(secs => k.probe_s), probe_s = least(k.probe_s * 2, 60)
        from probed where k.recipient_id = probed.recipient_id
    )
    select array_agg(x.recipient_id), array_agg(x.alert_id) into recipients, alerts from locked x;
end $$;

-- Lanes to be claimed: locked, and within every limit.
create function dispatch.due_lanes(moment timestamptz, most int, most_withdrawals int,
    out recipients uuid[], out alerts uuid[])
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    look constant int := greatest(2 * most_withdrawals, 32);
    a_turn constant int := 64;
    candidates uuid[];
    asked uuid[] := '{}';
    withdrawals int;
    others int;
    found record;
    turn uuid;
    last uuid;
    came int;
begin
    recipients := '{}';
    alerts := '{}';
    with first as (
        (select l.recipient_id, true as withdrawal from dispatch.lane l
         where l.withdrawal and l.due_at <= moment and (l.owner is null or l.lease_until <= moment)
         order by l.due_at limit look)
        union all
        (select l.recipient_id, false from dispatch.lane l
         where not l.withdrawal and l.due_at <= moment and (l.owner is null or l.lease_until <= moment)
         order by l.due_at limit look)
        union all
        (select k.recipient_id, null from dispatch.breaker k
         where k.is_open and k.probe_at <= moment and exists (
             select 1 from dispatch.lane l where l.recipient_id = k.recipient_id and l.due_at is not null)
         order by k.probe_at limit a_turn)
    )
    select array_agg(distinct f.recipient_id), count(*) filter (where f.withdrawal),
           count(*) filter (where not f.withdrawal)
        into candidates, withdrawals, others from first f;

    for pass in 0..8 loop
        exit when candidates is null;
        select * into found from dispatch.lock_due(
            candidates, moment, most - cardinality(recipients), most_withdrawals - cardinality(recipients));
        recipients := recipients || found.recipients;
        alerts := alerts || found.alerts;
        -- everything due was looked at, or there is no more room
        exit when (withdrawals < look or cardinality(recipients) >= most_withdrawals)
            and (others < look or cardinality(recipients) >= most);
        asked := asked || candidates;
        turn := coalesce(turn, (select t.after from dispatch.claim_turn t));
        select array_agg(r.recipient_id) filter (where r.recipient_id <> all(asked)), count(*),
               (array_agg(r.recipient_id order by r.place desc))[1]
            into candidates, came, last from dispatch.in_turn(turn, a_turn) r;
        exit when came = 0;
        turn := last;
        if came = a_turn then
            update dispatch.claim_turn set after = last;
        end if;
    end loop;
end $$;

-- One statement for the client, so that a sender that is stopped in the middle keeps nobody waiting; a function, so
-- that lanes in flight are counted after the lock is taken (a statement's own snapshot is older than its lock).
create or replace function dispatch.claim(claimer text, lease interval, most int, most_withdrawals int)
returns table (recipient_id uuid, alert_id uuid, fence bigint, failures int, delivery_id uuid, revision int,
    content text, variant text, created_at timestamptz, expires_at timestamptz, attempt_id bigint,
    attempts int, url text, format text, in_flight_cap int, secret jsonb, previous_secret jsonb, previous_until timestamptz,
    box jsonb, clear text)
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    moment timestamptz;
    recipients uuid[];
    alerts uuid[];
begin
    perform pg_advisory_xact_lock(116002);
    moment := clock_timestamp();

    select d.recipients, d.alerts into recipients, alerts from dispatch.due_lanes(moment, most, most_withdrawals) d;

    -- a statement of its own: it sees every revision that was published before the lanes were locked
    return query
    with head as materialized (
        select l.recipient_id, l.alert_id, l.failures, d.delivery_id, d.revision, d.content, d.variant,
               d.created_at, v.expires_at
        from unnest(recipients, alerts) as x(recipient_id, alert_id)
        join dispatch.lane l using (recipient_id, alert_id)
        cross join lateral (
            select * from dispatch.delivery d
            where d.recipient_id = x.recipient_id and d.alert_id = x.alert_id
              and (d.state = 'pending'
                   or (l.reassert_at is not null and d.state = 'delivered'
                       and d.delivery_id = (select n.delivery_id from dispatch.newest(x.recipient_id, x.alert_id) n)))
            order by d.state = 'pending' desc, d.revision desc limit 1) d
        join dispatch.alert_revision v on v.alert_id = d.alert_id and v.revision = d.revision
        where d.content = 'withdrawn' or v.expires_at is null or v.expires_at > moment
    -- one after the other, each handing its rows on: joins of what they return would cost the square of their number
    ), taken as (
        update dispatch.lane l set owner = claimer, lease_until = clock_timestamp() + lease, fence = l.fence + 1
        from head h where l.recipient_id = h.recipient_id and l.alert_id = h.alert_id
        returning h.*, l.fence
    ), counted as (
        update dispatch.delivery d set attempts = d.attempts + 1 from taken t where d.delivery_id = t.delivery_id
        returning t.*, d.attempts
    ), numbered as materialized (
        select c.*, nextval('dispatch.attempt_attempt_id_seq') as attempt_id from counted c
    ), started as (
        insert into dispatch.attempt (attempt_id, delivery_id, fence, owner) overriding system value
        select n.attempt_id, n.delivery_id, n.fence, claimer from numbered n
    )
    select n.recipient_id, n.alert_id, n.fence, n.failures, n.delivery_id, n.revision, n.content, n.variant,
           n.created_at, n.expires_at, n.attempt_id, n.attempts, r.url, r.format, r.in_flight_cap, r.secret,
           case when r.previous_until > moment then r.previous_secret end, r.previous_until, b.box, b.clear
    from numbered n join dispatch.recipient r on r.recipient_id = n.recipient_id
    left join dispatch.body b on b.alert_id = n.alert_id and b.revision = n.revision and b.variant = n.variant
    order by n.content = 'withdrawn' desc, n.created_at;
end $$;
