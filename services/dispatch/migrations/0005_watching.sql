-- When a partner last asked for its signed state: one that polls shows what it lists, whatever was pushed.
create table dispatch.poll (
    recipient_id uuid primary key references dispatch.recipient,
    polled_at timestamptz not null
);

-- What is asked about one partner must not read the deliveries of years.
create index delivery_recipient on dispatch.delivery (recipient_id, created_at desc);
create index delivery_unanswered on dispatch.delivery (created_at)
    where content = 'withdrawn' and state in ('pending', 'held');
create index delivery_withdrawal on dispatch.delivery (created_at) where content = 'withdrawn';
create index attempt_started on dispatch.attempt using brin (started_at) with (autosummarize = on);
create index receipt_recipient on dispatch.receipt (recipient_id, recorded_at desc);

-- Who may still show what was withdrawn there: whoever could have shown it and has not said that it is removed. A 2xx
-- alone is no removal; it counts for a day, since not every partner sends receipts and its lease has long ended then.
create view dispatch.unconfirmed as
with withdrawal as (
    select * from dispatch.delivery where content = 'withdrawn' and state in ('pending', 'held')
    union all
    select * from dispatch.delivery
    where content = 'withdrawn' and state = 'delivered' and created_at > now() - interval '24 hours'
)
select w.alert_id, w.recipient_id, w.delivery_id, w.revision, w.state, w.attempts, w.created_at as since,
    shown.revision as shown_revision
from withdrawal w
cross join lateral (
    select max(e.revision) as revision from dispatch.delivery e
    where e.alert_id = w.alert_id and e.recipient_id = w.recipient_id and e.revision < w.revision
      and e.content <> 'withdrawn'
      and (e.attempts > 0
           or exists (select 1 from dispatch.poll p where p.recipient_id = e.recipient_id and p.polled_at >= e.created_at)
           or exists (select 1 from dispatch.receipt p where p.alert_id = e.alert_id
                      and p.recipient_id = e.recipient_id and p.revision = e.revision and p.state = 'displayed'))
) shown
where shown.revision is not null
  and not exists (select 1 from dispatch.delivery n where n.alert_id = w.alert_id
                  and n.recipient_id = w.recipient_id and n.revision > w.revision)
  and not exists (select 1 from dispatch.receipt p where p.alert_id = w.alert_id
                  and p.recipient_id = w.recipient_id and p.state = 'removed'
                  and (p.revision = w.revision
                       -- one that polls knows of no withdrawal's revision: it names the last one it showed
                       or (p.revision >= shown.revision and p.recorded_at >= w.created_at)));
