-- partners: everybody who may have to go dark, paused ones too
select recipient_id, name, contact, url, format, audience, exercise, secret,
    case when previous_until > clock_timestamp() then previous_secret end as previous_secret
from dispatch.recipient order by recipient_id

-- lit: alerts that show a child and are not withdrawn; a standby shows nobody
select * from dispatch.alert where not withdrawn and kind <> 'standby' order by alert_id

-- unanswered: withdrawals that somebody has not taken yet, with their bodies
select a.*, array_agg(distinct d.recipient_id) as recipients,
    (select jsonb_object_agg(split_part(b.variant, '.', 1), b.clear) from dispatch.body b
     where b.alert_id = a.alert_id and b.revision = a.head_revision and b.clear is not null) as bodies
from dispatch.alert a join dispatch.delivery d
    on d.alert_id = a.alert_id and d.revision = a.head_revision and d.content = 'withdrawn' and d.state = 'pending'
where a.withdrawn and a.kind <> 'standby' group by a.alert_id order by a.alert_id

-- answered: writes down that an emergency withdrawal was taken: the attempt, and the delivery's end
with done as (
    update dispatch.delivery d set state = 'delivered', attempts = d.attempts + 1, finished_at = $3
    from dispatch.recipient r
    where d.delivery_id = $1 and d.content = 'withdrawn' and d.state = 'pending' and r.recipient_id = d.recipient_id
    returning d.*, r.audience
), tried as (
    insert into dispatch.attempt (delivery_id, fence, owner, started_at, ended_at, status)
    select delivery_id, 0, 'emergency', $3, $3, $2 from done
)
select * from done

-- at_rest: nothing waits in this lane any more
update dispatch.lane set due_at = null, withdrawal = false, failures = 0
where alert_id = $1 and recipient_id = $2 and owner is null and reassert_at is null and not exists (
    select 1 from dispatch.delivery d where d.alert_id = $1 and d.recipient_id = $2 and d.state = 'pending')

-- left: how many have not taken the withdrawal of an alert
select count(*) from dispatch.delivery where alert_id = $1 and state = 'pending'
