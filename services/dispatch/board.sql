-- alerts: what is lit or on its way there, and what went dark lately ($1) or may still be shown somewhere; a Child
-- Alert first, then the newest.
-- `over`: it has expired or was stopped, and its withdrawal is on its way
with dark as (
    select r.alert_id, max(r.created_at) as dark_at from dispatch.alert_revision r
    where r.content = 'withdrawn' and r.created_at > now() - interval '1 day' group by 1
), open as (select distinct alert_id from dispatch.unconfirmed)
select a.alert_id, a.kind, a.mode, a.case_id, a.campaign_id, a.areas, a.head_revision, a.withdrawn, a.issued_at,
    a.expires_at, dark.dark_at,
    a.withdrawn or coalesce(a.expires_at <= now(), false)
        or exists (select 1 from eventlog.stop s where s.kind = 'campaign' and s.id = a.campaign_id) as over
from dispatch.alert a left join dark using (alert_id) left join open using (alert_id)
where not a.withdrawn or dark.dark_at > now() - $1::interval or open.alert_id is not null
order by a.withdrawn, a.kind <> 'child_alert', a.issued_at desc, a.alert_id limit $2

-- fan_out: the newest delivery to each recipient of these alerts, what its screens said last, and when it is tried again
select d.alert_id, d.recipient_id, d.revision, d.content, d.state, d.attempts, d.created_at, d.finished_at,
    r.name, r.audience, p.state as receipt, p.screens, p.at as receipt_at, l.due_at
from unnest($1::uuid[]) as x(alert_id) cross join lateral (
    select distinct on (n.recipient_id) n.* from dispatch.delivery n where n.alert_id = x.alert_id
    order by n.recipient_id, n.revision desc) d
join dispatch.recipient r using (recipient_id)
left join dispatch.lane l on l.recipient_id = d.recipient_id and l.alert_id = d.alert_id
left join lateral (
    select c.state, c.screens, c.at from dispatch.receipt c
    where c.alert_id = d.alert_id and c.recipient_id = d.recipient_id
    order by c.revision desc, c.recorded_at desc limit 1) p on true
order by d.alert_id, r.audience, r.name, d.recipient_id
