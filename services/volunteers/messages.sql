-- planning ────────────────────────────────────────────────────────────────────────────────────────────────────

-- lanes_new: a lane for everybody who is there and has none; who left, or is of the other world, gets none
insert into volunteers.lane (callout_id, volunteer_id, exercise)
select c.callout_id, p.volunteer_id, p.exercise from volunteers.callout c join volunteers.person p using (exercise)
where c.callout_id = $1 and p.volunteer_id = any($2::uuid[]) order by p.volunteer_id on conflict do nothing

-- lanes_lock: locked in order, each with the number of its newest message and whether anything was tried
select l.volunteer_id, l.head,
    exists (select from volunteers.message m join volunteers.transmission t using (message_id)
            where m.callout_id = l.callout_id and m.volunteer_id = l.volunteer_id and t.state <> 'withheld') as tried
from volunteers.lane l where l.callout_id = $1 and l.volunteer_id = any($2::uuid[])
order by l.volunteer_id for update of l

-- supersede: what has not gone out does not go out any more
update volunteers.message set state = 'superseded'
where callout_id = $1 and volunteer_id = any($2::uuid[]) and state = 'pending'

-- messages_new: the newest messages of these lanes
insert into volunteers.message (message_id, callout_id, volunteer_id, revision, step, need_revision, task_id, state)
select x.message_id, $1, x.volunteer_id, x.revision, $2, $3, $4, x.state
from unnest($5::uuid[], $6::uuid[], $7::int[], $8::text[]) as x(message_id, volunteer_id, revision, state)

-- lanes_head: which is now the newest; due at once, or not at all
update volunteers.lane l set head = x.revision, withdrawal = $2, due_at = case when x.due then clock_timestamp() end
from unnest($3::uuid[], $4::int[], $5::boolean[]) as x(volunteer_id, revision, due)
where l.callout_id = $1 and l.volunteer_id = x.volunteer_id

-- settle: somebody answered, and is left alone
with lane as (
    update volunteers.lane set due_at = null where callout_id = $1 and volunteer_id = $2 returning head
)
update volunteers.message m set state = 'answered' from lane
where m.callout_id = $1 and m.volunteer_id = $2 and m.revision = lane.head and m.step in ('ask', 'changed')
  and m.state in ('pending', 'sent')

-- sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- claim: lanes that are due, what calls back first; every message leaves a trace before it leaves
with due as materialized (
    select callout_id, volunteer_id from volunteers.lane
    where due_at <= clock_timestamp() and (owner is null or lease_until <= clock_timestamp())
    order by withdrawal desc, due_at limit $3 for update skip locked
), taken as (
    update volunteers.lane l set owner = $1, lease_until = clock_timestamp() + $2::interval, fence = l.fence + 1
    from due where l.callout_id = due.callout_id and l.volunteer_id = due.volunteer_id returning l.*
), newest as (
    select t.fence, m.* from taken t join volunteers.message m
        on m.callout_id = t.callout_id and m.volunteer_id = t.volunteer_id and m.revision = t.head
), tried as (
    insert into volunteers.transmission as x (message_id, channel) select message_id, channel from newest
    on conflict (message_id, channel) do update set tries = x.tries + 1,
        state = case when x.state = 'withheld' then 'started' else x.state end
    returning message_id, tries
)
select n.callout_id, n.volunteer_id, n.fence, n.message_id, n.number, n.revision, n.step, n.need_revision, n.task_id,
    n.channel, n.created_at, tried.tries, c.case_id, c.case_version, c.exercise, c.correlation_id, p.profile,
    p.profile_event
from newest n join tried using (message_id) join volunteers.callout c using (callout_id)
join volunteers.person p using (volunteer_id)

-- look: the last look, before a message leaves; `moment`: when
select l.fence = $3 and l.lease_until > clock_timestamp() + $5::interval as held,
    l.head = $4 and m.state in ('pending', 'sent') as wanted,
    p.consent, p.week, p.away, clock_timestamp() as moment
from volunteers.lane l join volunteers.message m
    on m.callout_id = l.callout_id and m.volunteer_id = l.volunteer_id and m.revision = l.head
join volunteers.person p on p.volunteer_id = l.volunteer_id
where l.callout_id = $1 and l.volunteer_id = $2

-- recording ───────────────────────────────────────────────────────────────────────────────────────────────────

-- lanes_held: which of these lanes are still held by this fence, locked in order
select l.callout_id, l.volunteer_id from volunteers.lane l
join unnest($1::uuid[], $2::uuid[], $3::bigint[]) x(callout_id, volunteer_id, fence) using (callout_id, volunteer_id)
where l.fence = x.fence order by l.callout_id, l.volunteer_id for update of l

-- transmissions_end: how they ended; a report that was faster than the answer stays
update volunteers.transmission t set
    -- what was tried before may have arrived, whatever is kept back now
    state = case when t.state = 'started' and (x.state <> 'withheld' or t.tries = 1) then x.state else t.state end,
    error_class = x.error_class, ended_at = clock_timestamp()
from unnest($1::uuid[], $2::int[], $3::text[], $4::text[]) as x(message_id, channel, state, error_class)
where t.message_id = x.message_id and t.channel = x.channel
returning t.message_id, t.channel, t.state

-- lanes_release: what is next for each: the next channel after a while, the same one again, or nothing. `wait_s` null:
-- nobody waits for an answer. Nothing is changed about a lane that got a newer message meanwhile but its lease.
with done as (
    select x.*, l.head, m.message_id, m.channel as at_channel, p.channels
    from unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::float8[])
        as x(callout_id, volunteer_id, revision, fate, wait_s)
    join volunteers.lane l using (callout_id, volunteer_id) join volunteers.person p using (volunteer_id)
    join volunteers.message m
        on m.callout_id = x.callout_id and m.volunteer_id = x.volunteer_id and m.revision = x.revision
), messages as (
    update volunteers.message m set
        channel = m.channel + (done.fate in ('accepted', 'failed'))::int,
        state = case when done.fate = 'accepted' and m.state = 'pending' then 'sent'
                     when done.fate = 'failed' and m.state = 'pending' and m.channel + 1 >= done.channels then 'failed'
                     else m.state end
    from done where m.message_id = done.message_id
)
update volunteers.lane l set owner = null, lease_until = null, due_at = case
    when done.head <> done.revision then l.due_at
    when l.due_at is null then null
    when done.fate = 'again' then clock_timestamp() + make_interval(secs => done.wait_s)
    when done.at_channel + 1 >= done.channels then null
    when done.fate = 'failed' then clock_timestamp()
    else clock_timestamp() + make_interval(secs => done.wait_s) end
from done where l.callout_id = done.callout_id and l.volunteer_id = done.volunteer_id

-- reports ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- report: what a provider says became of a message; never backwards, and a failure only of what was not delivered
update volunteers.transmission t set state = $3, ended_at = clock_timestamp()
where t.message_id = $1 and t.channel = $2
  and case $3 when 'delivered' then t.state in ('started', 'accepted', 'failed')
              when 'failed' then t.state in ('started', 'accepted') else false end
returning true

-- try_next: a channel failed after it had taken the message: the next one at once, if there is one and it still matters
update volunteers.lane l set due_at = clock_timestamp()
from volunteers.message m join volunteers.person p using (volunteer_id)
where m.message_id = $1 and l.callout_id = m.callout_id and l.volunteer_id = m.volunteer_id and l.head = m.revision
  and m.state in ('pending', 'sent') and m.channel = $2 + 1 and m.channel < p.channels

-- message: one of them
select m.message_id, m.callout_id, m.volunteer_id, m.step, m.need_revision, m.task_id, m.created_at, m.device,
    c.case_id, c.exercise from volunteers.message m join volunteers.callout c using (callout_id) where m.message_id = $1

-- message_numbered: the one that a link names
select m.message_id, m.callout_id, m.volunteer_id, m.step, m.need_revision, m.task_id, m.created_at, m.device,
    c.case_id, c.exercise from volunteers.message m join volunteers.callout c using (callout_id) where m.number = $1

-- device: the first browser that answers is remembered; says which it is
update volunteers.message set device = coalesce(device, $2) where message_id = $1 returning device

-- spots: where people are
select volunteer_id, lat, lon from volunteers.person where volunteer_id = any($1::uuid[])

-- board: the newest message to everybody of a call-out, and how it went on each channel
select m.volunteer_id, m.step, m.state, m.created_at,
    coalesce((select jsonb_agg(jsonb_build_object('channel', t.channel, 'state', t.state, 'tries', t.tries,
        'at', t.started_at) order by t.channel) from volunteers.transmission t where t.message_id = m.message_id),
        '[]'::jsonb) as transmissions
from volunteers.lane l join volunteers.message m
    on m.callout_id = l.callout_id and m.volunteer_id = l.volunteer_id and m.revision = l.head
where l.callout_id = $1 order by m.volunteer_id
