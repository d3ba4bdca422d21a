-- may_still_show: displays that could have shown what was withdrawn, and have not confirmed that it is gone
select u.alert_id, u.recipient_id, r.name, r.contact, u.delivery_id, u.revision, u.shown_revision, u.since, u.attempts,
    case when u.state = 'delivered' then 'unconfirmed' else 'unanswered' end as reason,
    u.since + make_interval(secs => $1::float8) as dark_by,
    u.since + make_interval(secs => $1::float8) <= clock_timestamp() as lease_over
from dispatch.unconfirmed u join dispatch.recipient r using (recipient_id)
where r.audience = 'display' and ($2::uuid is null or u.alert_id = $2) and ($3::uuid is null or u.recipient_id = $3)
order by u.since, r.name

-- polled: a partner asked for its state; written once in a while, not each time
insert into dispatch.poll (recipient_id, polled_at) values ($1, clock_timestamp())
on conflict (recipient_id) do update set polled_at = clock_timestamp()
where poll.polled_at < clock_timestamp() - interval '10 seconds'

-- heads_of_alert: the newest delivery of each lane of an alert
select distinct on (recipient_id) delivery_id, alert_id, recipient_id from dispatch.delivery where alert_id = $1
order by recipient_id, revision desc

-- heads_of_recipient: the newest delivery of each lane of a recipient: of what is lit, and of what went dark lately
select d.delivery_id, a.alert_id, $1::uuid as recipient_id from dispatch.alert a cross join lateral (
    select n.delivery_id from dispatch.delivery n where n.alert_id = a.alert_id and n.recipient_id = $1
    order by n.revision desc limit 1) d
where not a.withdrawn or exists (select 1 from dispatch.alert_revision v where v.alert_id = a.alert_id
    and v.content = 'withdrawn' and v.created_at > clock_timestamp() - $2::interval)
order by a.alert_id

-- breaker: what is remembered of a recipient that failed lately
select failures, is_open, allowed, probe_at from dispatch.breaker where recipient_id = $1

-- answers: how a recipient answered since a moment, and how fast, in milliseconds; now() and not the clock, which no
-- index can be asked for
select count(*) as attempts, count(*) filter (where t.status between 200 and 299) as accepted,
    percentile_cont(0.5) within group (order by extract(epoch from t.ended_at - t.started_at) * 1000)
        filter (where t.status is not null) as p50,
    percentile_cont(0.99) within group (order by extract(epoch from t.ended_at - t.started_at) * 1000)
        filter (where t.status is not null) as p99
from dispatch.attempt t join dispatch.delivery d using (delivery_id)
where t.started_at > now() - $2::interval and d.recipient_id = $1

-- failures: why attempts failed since a moment; one without an end was cut off with its sender
select coalesce(t.error_class, 'cut_off') as error_class, count(*) as count
from dispatch.attempt t join dispatch.delivery d using (delivery_id)
where t.started_at > now() - $2::interval and d.recipient_id = $1
  and (t.error_class is not null or (t.ended_at is null and t.started_at < clock_timestamp() - interval '1 minute'))
group by 1 order by 2 desc, 1

-- last_success: when a recipient last took something
select finished_at from dispatch.delivery where recipient_id = $1 and state = 'delivered'
order by created_at desc limit 1

-- waiting: what a recipient has not got yet
select count(*) filter (where content <> 'withdrawn') as appeals,
    count(*) filter (where content = 'withdrawn') as withdrawals, min(created_at) as oldest
from dispatch.delivery where recipient_id = $1 and state = 'pending'

-- last_receipt: what a recipient's screens last said
select alert_id, revision, state, screens, at, recorded_at from dispatch.receipt where recipient_id = $1
order by recorded_at desc limit 1

-- last_renewal: the last `display.renewed`
select sent_at, alerts, status, error_class, failures from dispatch.renewal
where recipient_id = $1 and sent_at is not null

-- last_poll: when a recipient last asked for its state
select polled_at from dispatch.poll where recipient_id = $1

-- lock_lanes: these lanes, in the order in which everybody locks them
select l.recipient_id from dispatch.lane l
join unnest($1::uuid[], $2::uuid[]) as x(recipient_id, alert_id) using (recipient_id, alert_id)
order by l.recipient_id, l.alert_id for update of l
