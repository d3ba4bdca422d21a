-- claim: takes lanes that are due, withdrawals first, within each recipient's cap, and starts an attempt on each
select c.*, clock_timestamp() as moment from dispatch.claim($1, $2, $3, $4) c

-- guard: what must hold immediately before sending: lease, newest revision, nothing stopped, not expired; in the
-- order asked. A revision that was recorded dark overtakes nobody.
select coalesce(l.fence = x.fence and l.owner = x.owner, false) as held,
    coalesce((select max(d.revision) from dispatch.delivery d where d.alert_id = x.alert_id
              and d.recipient_id = x.recipient_id and (d.state <> 'superseded' or d.content = 'withdrawn')), 0) as head,
    exists (select 1 from eventlog.stop s where s.kind = 'campaign' and s.id = a.campaign_id)
        or (a.kind = 'standby' and exists (select 1 from eventlog.stop s
            where s.kind = 'case' and s.id = a.case_id and s.version > a.case_version)) as stopped,
    coalesce(v.expires_at <= clock_timestamp(), false) as expired, r.state
from unnest($1::uuid[], $2::uuid[], $3::int[], $4::bigint[], $5::text[]) with ordinality
    as x(recipient_id, alert_id, revision, fence, owner, n)
left join dispatch.lane l on l.recipient_id = x.recipient_id and l.alert_id = x.alert_id
left join dispatch.alert a on a.alert_id = x.alert_id
left join dispatch.recipient r on r.recipient_id = x.recipient_id
left join dispatch.alert_revision v on v.alert_id = x.alert_id and v.revision = x.revision
order by x.n

-- lock: the lanes of these results, and those that wait for a partner that is just coming back, in lock order
select l.recipient_id, l.alert_id, l.fence from dispatch.lane l join (
    select x.recipient_id, x.alert_id from unnest($1::uuid[], $2::uuid[]) as x(recipient_id, alert_id)
    union
    select w.recipient_id, w.alert_id from dispatch.breaker k join dispatch.lane w using (recipient_id)
    where k.is_open and k.recipient_id = any($3::uuid[]) and w.due_at > clock_timestamp()) o
    using (recipient_id, alert_id)
order by l.recipient_id, l.alert_id for update of l

-- end_attempts: writes how each attempt ended
update dispatch.attempt t set ended_at = clock_timestamp(), status = x.status, error_class = x.error_class,
    size = x.size, head = x.head
from unnest($1::bigint[], $2::int[], $3::text[], $4::int[], $5::jsonb[])
    as x(attempt_id, status, error_class, size, head)
where t.attempt_id = x.attempt_id

-- end_deliveries: their new states; returns those that came to a new one
with before as materialized (
    select d.delivery_id, d.state from dispatch.delivery d where d.delivery_id = any($1::uuid[])
), after as (
    update dispatch.delivery d set ambiguous = d.ambiguous or x.ambiguous,
        state = case when x.state = 'delivered' and d.state in ('pending', 'superseded') then 'delivered'
                     when x.state = 'superseded' and d.state = 'pending' and exists (
                        select 1 from dispatch.delivery n where n.alert_id = d.alert_id
                          and n.recipient_id = d.recipient_id and n.revision > d.revision) then 'superseded'
                     when x.state in ('held', 'expired') and d.state = 'pending' then x.state
                     else d.state end,
        finished_at = case when x.state = 'delivered' and d.state in ('pending', 'superseded')
                             or x.state in ('superseded', 'held', 'expired') and d.state = 'pending'
                           then clock_timestamp() else d.finished_at end
    from unnest($1::uuid[], $2::text[], $3::boolean[]) as x(delivery_id, state, ambiguous)
    where d.delivery_id = x.delivery_id
    returning d.delivery_id, d.state, d.attempts, d.finished_at, d.recipient_id, d.alert_id, d.revision, d.content
)
select a.*, t.kind, t.case_id, t.mode, r.audience from after a join before b using (delivery_id)
join dispatch.alert t using (alert_id) join dispatch.recipient r using (recipient_id)
where a.state <> b.state

-- release: gives the lanes back, due for what is pending. What was accepted comes again where something older may
-- arrive after it: a lease after the end of an attempt that may have arrived ($10: their error classes); and after one,
-- two and four leases while nobody says how an older attempt ended, since its sender may be stopped, or dead
with own as materialized (
    select x.*, t.started_at, t.delivery_id from unnest($1::uuid[], $2::uuid[], $3::int[], $4::boolean[], $5::float8[],
        $6::boolean[], $7::boolean[], $8::bigint[])
        as x(recipient_id, alert_id, revision, accepted, wait_s, failed, done, attempt_id)
    join dispatch.attempt t using (attempt_id)
), next as materialized (
    select o.*, p.revision as pending, p.content as pending_content, v.expires_at, h.content as newest_content,
           case when o.accepted and p.revision is null then
               (select max(case when t.ended_at is not null then t.ended_at + $9::interval
                                when o.started_at - f.first < 4 * $9
                                then o.started_at + greatest($9, o.started_at - f.first) end)
                from dispatch.delivery d join dispatch.attempt t using (delivery_id)
                where d.recipient_id = o.recipient_id and d.alert_id = o.alert_id and d.revision < o.revision
                  and (t.ended_at is null or t.error_class = any($10::text[]))) end as older_until
    from own o left join lateral (
        select d.revision, d.content from dispatch.delivery d
        where d.recipient_id = o.recipient_id and d.alert_id = o.alert_id and d.state = 'pending'
        order by d.revision desc limit 1) p on true
    cross join lateral (select min(a.started_at) as first from dispatch.attempt a
                        where a.delivery_id = o.delivery_id and a.status between 200 and 299) f
    left join lateral dispatch.newest(o.recipient_id, o.alert_id) h on true
    left join dispatch.alert_revision v on v.alert_id = o.alert_id and v.revision = p.revision
), again as materialized (
    select n.*, least(case when l.reassert_at > n.started_at or not n.done then l.reassert_at end,
                      case when n.older_until > n.started_at then n.older_until end) as reassert_at
    from next n join dispatch.lane l using (recipient_id, alert_id)
)
update dispatch.lane l set owner = null, lease_until = null,
    failures = case when n.failed and coalesce(n.pending, n.revision) = n.revision then l.failures + 1
                    when n.pending = n.revision then l.failures else 0 end,
    withdrawal = coalesce(n.pending_content, case when n.reassert_at is not null then n.newest_content end, '') = 'withdrawn',
    reassert_at = n.reassert_at,
    due_at = case when n.pending is null and (n.done or n.reassert_at is null) then n.reassert_at
                  when n.pending is null then clock_timestamp() + make_interval(secs => n.wait_s)
                  when n.pending <> n.revision then clock_timestamp()
                  when n.pending_content = 'withdrawn' then clock_timestamp() + make_interval(secs => n.wait_s)
                  else least(clock_timestamp() + make_interval(secs => n.wait_s), n.expires_at) end
from again n where l.recipient_id = n.recipient_id and l.alert_id = n.alert_id

-- late: an older attempt reports after something newer was sent, or while it is: the newest goes out again at once; a
-- newer appeal that waits for its next try will come after it anyway
update dispatch.lane l set reassert_at = clock_timestamp(), withdrawal = h.content = 'withdrawn',
    due_at = case when h.content = 'withdrawn' or h.state = 'delivered' then clock_timestamp() else l.due_at end
from unnest($1::uuid[], $2::uuid[], $3::int[]) as x(recipient_id, alert_id, revision)
cross join lateral dispatch.newest(x.recipient_id, x.alert_id) h
where l.recipient_id = x.recipient_id and l.alert_id = x.alert_id and h.revision > x.revision
  and h.state in ('pending', 'delivered')

-- breakers: what is remembered of these recipients, in lock order; counts of more than 5 min ago are forgotten
select recipient_id, failures, is_open, allowed,
    case when counted_since > clock_timestamp() - interval '5 minutes' then total else 0 end as total,
    case when counted_since > clock_timestamp() - interval '5 minutes' then failed else 0 end as failed
from dispatch.breaker where recipient_id = any($1::uuid[]) order by recipient_id for update

-- remember: a breaker's state; a probe is due after a while when it opens
insert into dispatch.breaker (recipient_id, failures, total, failed, is_open, allowed, probe_at, probe_s)
values ($1, $2, $3, $4, $5, $6, case when $5 then clock_timestamp() + make_interval(secs => $7) end, $8)
on conflict (recipient_id) do update set failures = excluded.failures, total = excluded.total,
    failed = excluded.failed, is_open = excluded.is_open, allowed = excluded.allowed,
    counted_since = case when breaker.counted_since > clock_timestamp() - interval '5 minutes'
                         then breaker.counted_since else clock_timestamp() end,
    probe_at = case when excluded.is_open and breaker.is_open
                    then least(breaker.probe_at, clock_timestamp() + make_interval(secs => $9))
                    else excluded.probe_at end,
    probe_s = case when excluded.is_open and breaker.is_open then breaker.probe_s else excluded.probe_s end

-- forget: a partner is healthy
delete from dispatch.breaker where recipient_id = $1

-- wake: whatever waits for a partner that is back is due now
update dispatch.lane set due_at = clock_timestamp()
where recipient_id = any($1::uuid[]) and due_at > clock_timestamp()

-- causes: the correlation of each alert, from its first event
select distinct on (stream) stream, correlation_id from eventlog.events where stream = any($1::text[])
order by stream, version

-- known_events: which of these are in the log already
select event_id from eventlog.events where event_id = any($1::uuid[])

-- overdue: locks idle lanes whose head has expired, or that have nothing to send, in lock order
select l.recipient_id, l.alert_id from dispatch.lane l
left join lateral (
    select d.revision, d.content from dispatch.delivery d
    where d.recipient_id = l.recipient_id and d.alert_id = l.alert_id and d.state = 'pending'
    order by d.revision desc limit 1) p on true
left join dispatch.alert_revision v on v.alert_id = l.alert_id and v.revision = p.revision
where l.due_at <= clock_timestamp() and (l.owner is null or l.lease_until <= clock_timestamp())
  and ((p.revision is null and not dispatch.reassertable(l))
       or (p.content <> 'withdrawn' and v.expires_at <= clock_timestamp()))
order by l.recipient_id, l.alert_id limit 200 for update of l skip locked

-- expire: marks what is past its end in these lanes; returns it
update dispatch.delivery d set state = 'expired', finished_at = clock_timestamp()
from unnest($1::uuid[], $2::uuid[]) as x(recipient_id, alert_id), dispatch.alert_revision v
where d.recipient_id = x.recipient_id and d.alert_id = x.alert_id and d.state = 'pending'
  and d.content <> 'withdrawn' and v.alert_id = d.alert_id and v.revision = d.revision
  and v.expires_at <= clock_timestamp()
returning d.alert_id, d.recipient_id

-- rest: lanes in which nothing is pending, or to be sent again, wait for nothing
update dispatch.lane l set due_at = null, owner = null, lease_until = null, failures = 0, withdrawal = false,
    reassert_at = null
from unnest($1::uuid[], $2::uuid[]) as x(recipient_id, alert_id)
where l.recipient_id = x.recipient_id and l.alert_id = x.alert_id and not dispatch.reassertable(l)
  and not exists (select 1 from dispatch.delivery d where d.recipient_id = l.recipient_id
                  and d.alert_id = l.alert_id and d.state = 'pending')

-- may_still_show: withdrawals that nobody has acknowledged for too long
select u.alert_id, array_agg(r.name || ' (' || r.contact || ')' order by r.name) as names
from dispatch.unconfirmed u join dispatch.recipient r using (recipient_id)
where u.state in ('pending', 'held') and u.since < clock_timestamp() - $1::interval
group by u.alert_id order by u.alert_id

-- take_pings: handshakes that are due; they come back after a while, should this sender end
update dispatch.ping p set due_at = clock_timestamp() + $1::interval, attempts = p.attempts + 1
from dispatch.recipient r
where r.recipient_id = p.recipient_id and p.recipient_id in (
    select recipient_id from dispatch.ping where due_at <= clock_timestamp() order by due_at limit $2
    for update skip locked)
returning clock_timestamp() as moment, p.recipient_id, p.attempts, p.requested_at, r.url, r.secret,
    case when r.previous_until > clock_timestamp() then r.previous_secret end as previous_secret

-- ping_done: the handshake is over, unless a newer one was asked for meanwhile
delete from dispatch.ping where recipient_id = $1 and requested_at = $2 returning true

-- ping_failed: why, and when next; never again once it was tried for a day
update dispatch.ping set last_status = $3, last_error_class = $4,
    due_at = case when requested_at > clock_timestamp() - $6::interval
                  then clock_timestamp() + make_interval(secs => $5) else 'infinity' end
where recipient_id = $1 and requested_at = $2

-- ping_asked: when the handshake that now counts was asked for
select requested_at from dispatch.ping where recipient_id = $1

-- take_renewals: displays that show something and have not been told for so long that they may go on; each is taken by
-- one sender alone
with asked as materialized (
    select r.recipient_id from dispatch.recipient r left join dispatch.renewal w using (recipient_id)
    where r.state = 'active' and r.audience = 'display' and (w.due_at is null or w.due_at <= clock_timestamp())
), showing as materialized (
    select o.recipient_id from asked o where exists (
        select 1 from dispatch.alert a cross join lateral (
            select n.content, coalesce(n.finished_at, n.created_at) as since from dispatch.delivery n
            where n.alert_id = a.alert_id and n.recipient_id = o.recipient_id order by n.revision desc limit 1) d
        where not a.withdrawn and (a.expires_at is null or a.expires_at > clock_timestamp())
          and a.issued_at <= clock_timestamp() - $1::interval
          and d.content <> 'withdrawn' and d.since <= clock_timestamp() - $1::interval)
), taken as (
    insert into dispatch.renewal as w (recipient_id, due_at)
    select recipient_id, clock_timestamp() + $1::interval from showing order by recipient_id
    on conflict (recipient_id) do update set due_at = excluded.due_at where w.due_at <= clock_timestamp()
    returning recipient_id
)
select clock_timestamp() as moment, r.recipient_id, r.url, r.secret,
    case when r.previous_until > clock_timestamp() then r.previous_secret end as previous_secret
from taken join dispatch.recipient r using (recipient_id)

-- renewable: what a display shows now and may go on showing: the newest revision, accepted or confirmed there, and not
-- one that is being replaced or was withdrawn, stopped in the store, rejected, or has ended; the next $3 behind alert $2
select a.alert_id, d.revision, extract(epoch from a.expires_at - clock_timestamp())::float8 as left_s
from dispatch.alert a cross join lateral (
    select n.revision, n.content, n.state from dispatch.delivery n
    where n.alert_id = a.alert_id and n.recipient_id = $1 order by n.revision desc limit 1) d
join dispatch.recipient r on r.recipient_id = $1 and r.state = 'active' and r.audience = 'display'
left join lateral (
    select p.state from dispatch.receipt p
    where p.alert_id = a.alert_id and p.recipient_id = $1 and p.revision = d.revision
    order by p.at desc limit 1) p on true
where a.alert_id > $2 and not a.withdrawn
  and (a.expires_at is null or a.expires_at > clock_timestamp() + interval '1 second')
  and d.content <> 'withdrawn'
  and (d.state = 'delivered' or (d.state in ('pending', 'held') and p.state = 'displayed'))
  and p.state is distinct from 'rejected'
  and not exists (select 1 from eventlog.stop s where s.kind = 'campaign' and s.id = a.campaign_id)
order by a.alert_id limit $3

-- renewed: how it ended; returns the failures in a row, now and before
update dispatch.renewal w set sent_at = clock_timestamp(), alerts = $2, status = $3, error_class = $4,
    failures = case when $4::text is null then 0 else w.failures + 1 end
from (select recipient_id, failures from dispatch.renewal where recipient_id = $1 for update) b
where w.recipient_id = b.recipient_id returning w.failures, b.failures as before

-- renewals_over: displays that show nothing any more, so that no renewal will end what failed; returns them
with over as materialized (
    select w.recipient_id from dispatch.renewal w
    where w.failures > 0 and not exists (
        select 1 from dispatch.alert a cross join lateral (
            select n.content from dispatch.delivery n
            where n.alert_id = a.alert_id and n.recipient_id = w.recipient_id order by n.revision desc limit 1) d
        where not a.withdrawn and (a.expires_at is null or a.expires_at > clock_timestamp())
          and d.content <> 'withdrawn')
    order by w.recipient_id for update of w skip locked
)
update dispatch.renewal w set failures = 0 from over where w.recipient_id = over.recipient_id returning w.recipient_id

-- impatient: the server ends this transaction when its client falls silent for so long
select set_config('idle_in_transaction_session_timeout', '2s', true)

-- auditor ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- audit_forgotten: deliveries that are neither finished nor due in the future, though somebody could send them
select d.delivery_id, d.alert_id, d.recipient_id from dispatch.delivery d
join dispatch.lane l using (recipient_id, alert_id) join dispatch.recipient r using (recipient_id)
left join dispatch.breaker k using (recipient_id)
where d.state = 'pending' and d.created_at < clock_timestamp() - $1::interval
  and (l.due_at is null or (l.due_at < clock_timestamp() - $1::interval
       and (l.owner is null or l.lease_until < clock_timestamp())
       and (d.content = 'withdrawn' or (r.state = 'active' and not coalesce(k.is_open, false)))))

-- audit_overtaken: pending deliveries below a newer one of their lane that is pending or delivered
select d.delivery_id, d.alert_id, d.recipient_id from dispatch.delivery d
where d.state = 'pending' and exists (select 1 from dispatch.delivery n where n.recipient_id = d.recipient_id
    and n.alert_id = d.alert_id and n.revision > d.revision and n.state in ('pending', 'delivered'))

-- audit_leases: lanes whose lease ended long ago, and nobody took them
select l.alert_id, l.recipient_id from dispatch.lane l
where l.owner is not null and l.lease_until < clock_timestamp() - $1::interval
  and l.due_at < clock_timestamp() - $1::interval

-- audit_order: lanes in which the last revision that was accepted is not the highest that was; of alerts that are lit or
-- had an attempt so lately ($1; null: of all). Not while the newest is on its way again, for so long ($2); an appeal that
-- has ended is followed by its withdrawal
with looked as materialized (
    select alert_id from dispatch.alert where not withdrawn or $1::interval is null
    union
    select alert_id from dispatch.alert_revision where content = 'withdrawn' and created_at > now() - $1
    union
    select n.alert_id from dispatch.attempt m join dispatch.delivery n using (delivery_id)
    where m.started_at > now() - $1
)
select a.alert_id, a.recipient_id from (
    select d.alert_id, d.recipient_id, max(d.revision) as highest, max(t.ended_at) as at,
           (array_agg(d.revision order by t.ended_at desc, d.revision desc))[1] as last
    from looked join dispatch.delivery d using (alert_id) join dispatch.attempt t using (delivery_id)
    where t.status between 200 and 299
    group by 1, 2 having max(d.revision) > min(d.revision)) a
join dispatch.lane l using (recipient_id, alert_id)
cross join lateral dispatch.newest(a.recipient_id, a.alert_id) h
join dispatch.alert_revision v on v.alert_id = h.alert_id and v.revision = h.revision
where a.last < a.highest and (h.content = 'withdrawn' or v.expires_at is null or v.expires_at > clock_timestamp())
  and not ((l.reassert_at is not null or h.state = 'pending') and a.at > clock_timestamp() - $2::interval)

-- reassert: the newest goes out again at once, unless it does already; returns whether it does now
update dispatch.lane l set reassert_at = clock_timestamp(), due_at = clock_timestamp(), withdrawal = h.content = 'withdrawn'
from dispatch.newest($1, $2) h
where l.recipient_id = $1 and l.alert_id = $2 and l.reassert_at is null and h.state = 'delivered'
returning true

-- audit_lanes: withdrawn alerts with a recipient that had an attempt of an older revision and has no withdrawal; of
-- those that were withdrawn or had an attempt so lately (null: of all)
with looked as materialized (
    select alert_id from dispatch.alert where not withdrawn or $1::interval is null
    union
    select alert_id from dispatch.alert_revision where content = 'withdrawn' and created_at > now() - $1
    union
    select n.alert_id from dispatch.attempt m join dispatch.delivery n using (delivery_id)
    where m.started_at > now() - $1
)
select d.alert_id, d.recipient_id
from looked join dispatch.delivery d using (alert_id) join dispatch.alert a using (alert_id)
where a.withdrawn and d.attempts > 0
group by 1, 2
having not exists (select 1 from dispatch.delivery w where w.alert_id = d.alert_id
                   and w.recipient_id = d.recipient_id and w.content = 'withdrawn')

-- audit_revisions: alerts whose head is not their newest revision, or says otherwise whether they are withdrawn
select a.alert_id from dispatch.alert a
left join lateral (select r.revision, r.content from dispatch.alert_revision r where r.alert_id = a.alert_id
                   order by r.revision desc limit 1) r on true
where r.revision is distinct from a.head_revision
   or (a.withdrawn and not exists (select 1 from dispatch.alert_revision w
                                   where w.alert_id = a.alert_id and w.content = 'withdrawn'))

-- audit_unreconciled: recipients that were changed, and what they show has not followed
select recipient_id from dispatch.recipient where reconcile_at < clock_timestamp() - $1::interval

-- audit_released: campaigns that were released in the event store, and have no alert
select e.stream, e.subject from eventlog.events e
where e.type = 'campaign.released.v1' and e.origin = 'live' and e.position > $1
  and e.recorded_time < clock_timestamp() - $2::interval
  and not exists (select 1 from dispatch.alert a where a.campaign_id = (e.data ->> 'campaign_id')::uuid)

-- audit_ended: campaigns that ended in the event store, whose alert is not withdrawn
select e.stream, e.subject, a.alert_id, e.event_id from eventlog.events e
join dispatch.alert a on a.campaign_id = (e.data ->> 'campaign_id')::uuid and not a.withdrawn
where e.type = 'campaign.ended.v1' and e.origin = 'live' and e.position > $1
  and e.recorded_time < clock_timestamp() - $2::interval

-- audit_stopped: whatever must be dark according to the event store, and is not withdrawn
select s.kind, a.alert_id, s.event_id from eventlog.stop s join dispatch.alert a
    on (s.kind = 'campaign' and a.campaign_id = s.id)
    or (s.kind = 'case' and a.case_id = s.id and a.kind = 'standby' and s.version > a.case_version)
where not a.withdrawn and s.stopped_at < clock_timestamp() - $1::interval

-- audit_unrevised: what campaigns were to show according to the event store, and neither it nor anything later of the
-- campaign has a revision; what is withdrawn or stopped needs none
select e.stream, e.version, a.alert_id from eventlog.events e
join dispatch.alert a on a.campaign_id = (e.data ->> 'campaign_id')::uuid and not a.withdrawn
where e.type in ('campaign.released.v1', 'campaign.updated.v1', 'campaign.extended.v1') and e.origin = 'live'
  and e.position > $1 and e.recorded_time < clock_timestamp() - $2::interval
  and not exists (select 1 from eventlog.events n join dispatch.alert_revision r on r.cause_id = n.event_id
                  where n.stream = e.stream and n.version >= e.version and r.alert_id = a.alert_id)
  and not exists (select 1 from eventlog.stop s where s.kind = 'campaign' and s.id = a.campaign_id)

-- audit_standby_missing: cases that are worrying and open according to their newest assessment, and nobody stands by
select e.subject from (
    select distinct on (stream) * from eventlog.events
    where type = 'assessment.changed.v1' and origin = 'live' and position > $1 order by stream, version desc) e
where e.recorded_time < clock_timestamp() - $2::interval
  and (e.data ->> 'worrying')::boolean and (e.data ->> 'case_open')::boolean
  and not exists (select 1 from dispatch.standby s join dispatch.alert a using (alert_id)
                  where s.case_id = e.subject::uuid and not a.withdrawn)
  and not exists (select 1 from dispatch.parked p where p.case_id = e.subject)
  and not exists (select 1 from eventlog.stop s where s.kind = 'case' and s.id = e.subject::uuid
                  and s.version > (e.data ->> 'case_version')::bigint)

-- audit_standby_left: standbys that are lit though the newest assessment says since long: closed, or not worrying
select e.subject, a.alert_id, e.event_id from (
    select distinct on (stream) * from eventlog.events
    where type = 'assessment.changed.v1' and origin = 'live' and position > $1 order by stream, version desc) e
join dispatch.alert a on a.case_id = e.subject::uuid and a.kind = 'standby' and not a.withdrawn
where case when not (e.data ->> 'case_open')::boolean then e.recorded_time < clock_timestamp() - $2::interval
           when not (e.data ->> 'worrying')::boolean
               then e.recorded_time < clock_timestamp() - $2::interval - $3::interval
           else false end

-- audit_window: the position before the newest so many events
select coalesce(max(position), 0) - $1::bigint from eventlog.events
