-- Whatever is newest is sent again when something older may have arrived after it: a withdrawal, or an appeal.
create function dispatch.newest(recipient uuid, alert uuid) returns setof dispatch.delivery language sql stable as $$
    select d.* from dispatch.delivery d where d.recipient_id = recipient and d.alert_id = alert
      and (d.state <> 'superseded' or d.content = 'withdrawn') order by d.revision desc limit 1
$$;
comment on function dispatch.newest is 'What a recipient is to show: a revision that was recorded dark overtakes nobody.';
-- Whether a lane has something to send once more: what is newest was accepted, and has not ended.
create function dispatch.reassertable(l dispatch.lane) returns boolean language sql stable as $$
    select l.reassert_at is not null and exists (
        select 1 from dispatch.newest(l.recipient_id, l.alert_id) n
        join dispatch.alert_revision v on v.alert_id = n.alert_id and v.revision = n.revision
        where n.state = 'delivered'
          and (n.content = 'withdrawn' or v.expires_at is null or v.expires_at > clock_timestamp()))
$$;
comment on column dispatch.lane.reassert_at is 'Since when what was accepted is to be sent once more.';

-- One statement for the client, so that a sender that is stopped in the middle keeps nobody waiting; a function, so
-- that lanes in flight are counted after the lock is taken (a statement's own snapshot is older than its lock).
create or replace function dispatch.claim(claimer text, lease interval, most int, most_withdrawals int)
returns table (recipient_id uuid, alert_id uuid, fence bigint, failures int, delivery_id uuid, revision int,
    content text, variant text, created_at timestamptz, expires_at timestamptz, attempt_id bigint,
    attempts int, url text, format text, in_flight_cap int, secret jsonb, previous_secret jsonb, previous_until timestamptz,
    box jsonb, clear text)
language plpgsql as $$
#variable_conflict use_column
declare
    moment timestamptz;
    recipients uuid[];
    alerts uuid[];
begin
    perform pg_advisory_xact_lock(116002);
    moment := clock_timestamp();

    with busy as materialized (
        select l.recipient_id, count(*)::int as n from dispatch.lane l
        where l.owner is not null and l.lease_until > moment group by 1
    ), room as materialized (
        -- one slot is kept for withdrawals; they pass an open breaker too, and reach whoever is paused
        select r.recipient_id, r.in_flight_cap - coalesce(b.n, 0) as withdrawals,
               case when r.state <> 'active' or coalesce(k.is_open, false) then 0
                    else least(r.in_flight_cap - 1, k.allowed) - coalesce(b.n, 0) end as others,
               r.state = 'active' and coalesce(k.is_open and k.probe_at <= moment, false)
                   and coalesce(b.n, 0) = 0 as probe
        from dispatch.recipient r left join busy b using (recipient_id) left join dispatch.breaker k using (recipient_id)
    ), due as materialized (
        select room.recipient_id, c.alert_id, c.withdrawal, c.due_at, room.withdrawals, room.others, c.probe
        from room cross join lateral (
            (select l.alert_id, true as withdrawal, l.due_at, false as probe from dispatch.lane l
             where l.recipient_id = room.recipient_id and l.withdrawal and l.due_at <= moment
               and (l.owner is null or l.lease_until <= moment)
             order by l.due_at limit greatest(room.withdrawals, 0))
            union all
            (select l.alert_id, false, l.due_at, false from dispatch.lane l
             where l.recipient_id = room.recipient_id and not l.withdrawal and l.due_at <= moment
               and (l.owner is null or l.lease_until <= moment)
             order by l.due_at limit greatest(room.others, 0))
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
    ), counted as (
        update dispatch.delivery d set attempts = d.attempts + 1 from head h where d.delivery_id = h.delivery_id
        returning d.delivery_id, d.attempts
    ), taken as (
        update dispatch.lane l set owner = claimer, lease_until = clock_timestamp() + lease, fence = l.fence + 1
        from head h where l.recipient_id = h.recipient_id and l.alert_id = h.alert_id
        returning l.recipient_id, l.alert_id, l.fence
    ), started as (
        insert into dispatch.attempt (delivery_id, fence, owner)
        select h.delivery_id, t.fence, claimer from head h join taken t using (recipient_id, alert_id)
        returning attempt_id, delivery_id
    )
    select h.recipient_id, h.alert_id, t.fence, h.failures, h.delivery_id, h.revision, h.content, h.variant,
           h.created_at, h.expires_at, s.attempt_id, c.attempts, r.url, r.format, r.in_flight_cap, r.secret,
           case when r.previous_until > moment then r.previous_secret end, r.previous_until, b.box, b.clear
    from head h join taken t using (recipient_id, alert_id) join started s using (delivery_id)
    join counted c using (delivery_id)
    join dispatch.recipient r on r.recipient_id = h.recipient_id
    left join dispatch.body b on b.alert_id = h.alert_id and b.revision = h.revision and b.variant = h.variant
    order by h.content = 'withdrawn' desc, h.created_at;
end $$;
