-- shown: what the public may see, newest first: live alerts as of their newest revision ($2: its form), and for a
-- while ($3) the Cancel of those that were withdrawn. Exercises, vignettes and standbys are none of it; what expired or
-- was stopped is dark at once, even before its withdrawal is written. $1: one alert, or all
with lit as (
    select a.*, $2 as variant from dispatch.alert a
    where not a.withdrawn and a.mode = 'actual' and a.kind in ('public', 'child_alert')
        and (a.expires_at is null or a.expires_at > clock_timestamp())
        and not exists (select 1 from eventlog.stop s where s.kind = 'campaign' and s.id = a.campaign_id)
), over as (
    select a.*, 'cap.withdrawn' as variant from dispatch.alert_revision r
    join dispatch.alert a on a.alert_id = r.alert_id and a.head_revision = r.revision
    where r.content = 'withdrawn' and r.created_at > clock_timestamp() - $3::interval
        and a.withdrawn and a.mode = 'actual' and a.kind in ('public', 'child_alert')
        and exists (select 1 from dispatch.body b where b.alert_id = a.alert_id and b.variant = $2)
)
select x.alert_id, x.head_revision, x.withdrawn, x.issued_at, x.variant, r.created_at as revised_at, b.box, b.clear
from (select * from lit union all select * from over) x
join dispatch.alert_revision r on r.alert_id = x.alert_id and r.revision = x.head_revision
join dispatch.body b on b.alert_id = x.alert_id and b.revision = x.head_revision and b.variant = x.variant
where $1::uuid is null or x.alert_id = $1
order by r.created_at desc, x.alert_id
