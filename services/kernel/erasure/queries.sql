-- requested: an erasure that somebody asks for
insert into kernel.erasure (erasure_id) values ($1)

-- approved: what is to be forgotten from now on
update kernel.erasure set approved_at = clock_timestamp(), children = $2, cases = $3 where erasure_id = $1

-- waiting: what a part has not done yet, oldest first
select e.erasure_id, e.children, e.cases, e.approved_at from kernel.erasure e
where e.approved_at is not null and e.completed_at is null
  and not exists (select 1 from kernel.erasure_part p where p.erasure_id = e.erasure_id and p.part = $1)
order by e.approved_at limit 100

-- part_done: a part is done
insert into kernel.erasure_part as had (erasure_id, part, erased) values ($1, $2, $3)
on conflict (erasure_id, part) do nothing

-- executable: erasures of which all parts are done
select e.erasure_id, e.children, e.cases, e.approved_at from kernel.erasure e
where e.approved_at is not null and e.executed_at is null
  and (select count(*) from kernel.erasure_part p where p.erasure_id = e.erasure_id and p.part = any($1::text[])) = $2
order by e.approved_at limit 100

-- completable: executed erasures for which nobody has to confirm any more
select e.erasure_id, e.children, e.cases, e.approved_at from kernel.erasure e
where e.executed_at is not null and e.completed_at is null
  and not exists (select 1 from kernel.erasure_partner p where p.erasure_id = e.erasure_id
                  and p.confirmed_at is null and p.given_up_at is null)
order by e.approved_at limit 100

-- unconfirmed: erasures that somebody has not confirmed so long after
select e.erasure_id, count(distinct p.recipient_id) as partners from kernel.erasure e
join kernel.erasure_partner p using (erasure_id)
where e.completed_at is null and e.executed_at < clock_timestamp() - $1::interval
  and p.confirmed_at is null and p.given_up_at is null
group by 1 order by 1

-- erased: what all parts erased
select part, erased from kernel.erasure_part where erasure_id = $1 order by part

-- executed: nothing of it can be opened any more
update kernel.erasure set executed_at = clock_timestamp() where erasure_id = $1 and executed_at is null

-- completed: nobody has to confirm any more
update kernel.erasure set completed_at = clock_timestamp() where erasure_id = $1 and completed_at is null

-- partners_told: who was sent what; twice is as good as once
insert into kernel.erasure_partner (erasure_id, recipient_id, alert_id, name)
select $1, * from unnest($2::uuid[], $3::uuid[], $4::text[]) on conflict do nothing

-- unconfirmed_alerts: for which alerts and recipients a confirmation is waited for
select erasure_id, recipient_id, alert_id from kernel.erasure_partner
where confirmed_at is null and given_up_at is null

-- confirmed: a recipient says that it deleted an alert
update kernel.erasure_partner p set confirmed_at = c.at from unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
    c(recipient_id, alert_id, at)
where p.recipient_id = c.recipient_id and p.alert_id = c.alert_id and p.confirmed_at is null

-- give_up: nobody waits for this recipient any longer; returns for how many alerts
with given as (
    update kernel.erasure_partner set given_up_at = clock_timestamp(), given_up_by = $3
    where erasure_id = $1 and recipient_id = $2 and confirmed_at is null and given_up_at is null returning 1
) select count(*) from given

-- partners: who was told, and what became of it
select recipient_id, min(name) as name, count(*) as alerts, count(confirmed_at) as confirmed,
    case when bool_and(confirmed_at is not null) then max(confirmed_at) end as confirmed_at,
    max(given_up_at) as given_up_at, max(given_up_by) as given_up_by
from kernel.erasure_partner where erasure_id = $1 group by 1 order by 2, 1

-- listed: every erasure, the newest first
select erasure_id from kernel.erasure where ($1::uuid is null or erasure_id < $1) order by erasure_id desc limit $2

-- any: every approved erasure
select erasure_id, children, cases, approved_at from kernel.erasure where approved_at is not null order by approved_at

-- waits_for: whether somebody waits for this recipient to confirm
select exists (select 1 from kernel.erasure_partner where erasure_id = $1 and recipient_id = $2
               and confirmed_at is null and given_up_at is null)
