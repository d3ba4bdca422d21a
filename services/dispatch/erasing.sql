-- alerts: what was ever sent about these cases; a standby names nobody, and stays while it is lit
select alert_id, kind, withdrawn from dispatch.alert
where case_id = any($1::uuid[]) and (kind <> 'standby' or withdrawn)

-- forget_heads: what recipients answered, which may repeat what they were sent
with gone as (
    update dispatch.attempt t set head = null from dispatch.delivery d
    where t.delivery_id = d.delivery_id and d.alert_id = any($1::uuid[]) and t.head is not null returning 1
) select count(*) from gone

-- forget_late_heads: the same of attempts that were under way when their alert was erased, and end only now
update dispatch.attempt t set head = null
from kernel.erasure e join dispatch.alert a on a.case_id = any(e.cases) join dispatch.delivery d using (alert_id)
where e.approved_at > clock_timestamp() - $1::interval and t.delivery_id = d.delivery_id and t.head is not null

-- forget_bodies: frozen bodies of what is over for so long; of younger ones, which nobody can open any more, feeds still
-- say that they are over
with gone as (
    delete from dispatch.body b using dispatch.alert_revision v
    where b.alert_id = any($1::uuid[]) and b.box is not null and v.alert_id = b.alert_id
      and v.content = 'withdrawn' and v.created_at < clock_timestamp() - $2::interval returning 1
) select count(*) from gone

-- had: who could have kept something of these alerts, and what the newest delivery of each is
select distinct on (e.recipient_id, e.alert_id) e.recipient_id, e.alert_id, r.name
from dispatch.delivery e join dispatch.recipient r using (recipient_id)
where e.alert_id = any($1::uuid[]) and e.content <> 'withdrawn'
  and (e.attempts > 0
       or exists (select 1 from dispatch.poll p where p.recipient_id = e.recipient_id and p.polled_at >= e.created_at))
order by e.recipient_id, e.alert_id

-- removed: who says that these alerts are gone, after the withdrawal or about it
select w.recipient_id, w.alert_id, max(p.recorded_at) as at
from unnest($1::uuid[], $2::uuid[]) as x(recipient_id, alert_id)
join dispatch.delivery w using (recipient_id, alert_id)
join dispatch.receipt p using (recipient_id, alert_id)
where w.content = 'withdrawn' and p.state = 'removed'
  and (p.revision = w.revision
       -- one that polls knows of no withdrawal's revision: it names the last one it showed
       or (p.recorded_at >= w.created_at and p.revision >= (
           select max(e.revision) from dispatch.delivery e where e.alert_id = w.alert_id
           and e.recipient_id = w.recipient_id and e.revision < w.revision and e.content <> 'withdrawn')))
group by 1, 2

-- to_tell_again: withdrawals that these recipients took long ago without saying that the alert is gone
select distinct on (d.recipient_id, d.alert_id) d.delivery_id
from unnest($1::uuid[], $2::uuid[]) as x(recipient_id, alert_id)
join dispatch.delivery d using (recipient_id, alert_id)
where d.content = 'withdrawn' and d.state = 'delivered' and d.finished_at < clock_timestamp() - $3::interval
order by d.recipient_id, d.alert_id, d.revision desc
