-- over: alerts that were withdrawn so long ago, hold deliveries still, and wait for nothing
select a.alert_id from dispatch.alert a
join dispatch.alert_revision v on v.alert_id = a.alert_id and v.revision = a.head_revision
where a.withdrawn and v.created_at < now() - $1::interval
  and exists (select 1 from dispatch.delivery d where d.alert_id = a.alert_id)
  and not exists (select 1 from dispatch.delivery d join dispatch.lane l using (recipient_id, alert_id)
                  where d.alert_id = a.alert_id and (d.state = 'pending' or l.due_at is not null))
order by v.created_at limit $2

-- lock: every lane of an alert, in the order in which everybody locks them
select recipient_id from dispatch.lane where alert_id = $1 order by recipient_id, alert_id for update

-- waits: whether anything of an alert is still to be sent
select exists (select 1 from dispatch.delivery d join dispatch.lane l using (recipient_id, alert_id)
               where d.alert_id = $1 and (d.state = 'pending' or l.due_at is not null))

-- forget_attempts: of an alert
delete from dispatch.attempt t using dispatch.delivery d where t.delivery_id = d.delivery_id and d.alert_id = $1

-- forget_receipts: of an alert
delete from dispatch.receipt where alert_id = $1

-- forget_deliveries: of an alert
delete from dispatch.delivery where alert_id = $1

-- forget_lanes: of an alert
delete from dispatch.lane where alert_id = $1

-- forget_bodies: of an alert
delete from dispatch.body where alert_id = $1

-- old_attempts: attempts of so long ago, also of alerts that are not over; oldest first, so that it ends at the first
-- young one; returns how many
with oldest as materialized (
    select attempt_id, started_at from dispatch.attempt order by attempt_id limit $2
), gone as (
    delete from dispatch.attempt t using oldest o
    where t.attempt_id = o.attempt_id and o.started_at < clock_timestamp() - $1::interval returning 1
)
select count(*) from gone
