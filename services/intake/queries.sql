-- next_numbers: takes case numbers of a year; returns the last one
insert into intake.case_number as n (year, last) values ($1, $2)
on conflict (year) do update set last = n.last + excluded.last returning last

-- opened: cases by number, and whether they are open
insert into intake.case_open (case_id, case_number, open)
select * from unnest($1::uuid[], $2::text[], $3::boolean[])
on conflict (case_id) do update set open = excluded.open

-- case_children: which children are in which case
insert into intake.case_child (child_id, case_id) select * from unnest($1::uuid[], $2::uuid[])
on conflict do nothing

-- turned: whether cases are open
update intake.case_open c set open = t.open from unnest($1::uuid[], $2::boolean[]) t(case_id, open)
where c.case_id = t.case_id

-- campaigns: to which case a campaign belongs
insert into intake.campaign (campaign_id, case_id) select * from unnest($1::uuid[], $2::uuid[])
on conflict do nothing

-- case_of: the case of a campaign
select case_id from intake.campaign where campaign_id = $1

-- index_children: remembers fingerprints; several children may turn out to have the same
insert into intake.blind_index (fingerprint, child_id) select * from unnest($1::bytea[], $2::uuid[])
on conflict do nothing

-- known_children: the children of these fingerprints, the first known first
select fingerprint, child_id from intake.blind_index where fingerprint = any($1::bytea[]) order by added

-- forget_children: erases what finds these children again
delete from intake.blind_index where child_id = any($1::uuid[])

-- cases_of_children: the cases of these children
select c.child_id, c.case_id, o.case_number, o.open, e.mode
from intake.case_child c join intake.case_open o using (case_id)
join eventlog.events e on e.stream = 'case-' || c.case_id and e.version = 1
where c.child_id = any($1::uuid[]) order by o.case_number

-- set_timer: when something is due; a later call moves it
insert into intake.timer (campaign_id, kind, due_at) values ($1, $2, coalesce($3, clock_timestamp()))
on conflict (campaign_id, kind) do update set due_at = excluded.due_at

-- clear_timers: nothing of this campaign is due any more
delete from intake.timer where campaign_id = $1 and ($2::text is null or kind = $2)

-- due: what is due by the clock of the database; an automatic release only while the case is worrying
select t.campaign_id, t.kind, c.case_id from intake.timer t join intake.campaign c using (campaign_id)
where t.due_at <= clock_timestamp() and (t.kind <> 'release' or coalesce((
    select (e.data->>'worrying')::boolean from eventlog.events e
    where e.stream = 'assessment-' || c.case_id order by e.version desc limit 1), false))
order by t.due_at limit $1

-- arm_releases: campaigns of these kinds that wait for their release wait for the one by policy too
insert into intake.timer (campaign_id, kind, due_at)
select c.campaign_id, 'release', clock_timestamp() from intake.campaign c
join eventlog.events e on e.stream = 'campaign-' || c.campaign_id and e.version = 1
where e.type = 'campaign.requested.v1' and e.origin = 'live' and e.data #>> '{appeal,kind}' = any($1::text[])
  and not exists (select from eventlog.events later where later.stream = e.stream
      and later.type in ('campaign.released.v1', 'campaign.ended.v1'))
on conflict do nothing returning campaign_id

-- postpone: looks again after a while
update intake.timer set due_at = clock_timestamp() + $3::interval where campaign_id = $1 and kind = $2

-- now: the clock of the database
select clock_timestamp()

-- known_events: which of these events are in the log
select event_id from eventlog.events where event_id = any($1::uuid[])

-- stream_names: which of these streams exist
select distinct stream from eventlog.events where stream = any($1::text[])

-- intake_events: the events of these cases in streams of intake, in order of appending
select * from eventlog.events
where subject = any($1::text[]) and (stream like 'case-%' or stream like 'campaign-%') order by position

-- worrying: what the newest assessment of a case says
select (data->>'worrying')::boolean as worrying from eventlog.events where stream = $1 order by version desc limit 1

-- photo_insert: a sealed photo
insert into intake.photo (media_id, child_id, type, width, height, digest, box) values ($1, $2, $3, $4, $5, $6, $7)

-- photos: what these photos are
select media_id, child_id, type, width, height from intake.photo where media_id = any($1::uuid[])

-- photos_of_case: the photos of the children of a case, also those added in other cases; as there were at a moment
select p.media_id, p.child_id, p.width, p.height, p.created_at
from intake.photo p join intake.case_child c using (child_id)
where c.case_id = $1 and ($2::timestamptz is null or p.created_at <= $2) order by p.created_at

-- photo_boxes: photos, sealed, in this order
select media_id, child_id, type, digest, box from intake.photo where media_id = any($1::uuid[])
order by array_position($1::uuid[], media_id)

-- links: addresses of pictures
insert into intake.media_link (digest, campaign_id, name) select * from unnest($1::bytea[], $2::uuid[], $3::text[])
on conflict do nothing

-- link: where an address leads
select campaign_id, name from intake.media_link where digest = $1

-- break_glass: lets somebody see the identities of a case for a while
insert into intake.break_glass (principal, case_id, until, reason, reference)
values ($1, $2, clock_timestamp() + $3::interval, $4, $5) returning until

-- glass_is_broken: whether that is so now
select true from intake.break_glass where principal = $1 and case_id = $2 and until > clock_timestamp() limit 1

-- merged_into: the duplicates that were merged into these cases, and what was merged into those before
with recursive gone(case_id) as (
    select unnest($1::uuid[])
    union
    select substr(e.stream, 6)::uuid from eventlog.events e join gone g
        on e.type = 'case.merged_into.v1' and e.data ->> 'case_id' = g.case_id::text
)
select case_id from gone where not case_id = any($1::uuid[])

-- fingerprints_of: what finds these children again
select distinct fingerprint from intake.blind_index where child_id = any($1::uuid[])

-- same_identity: other children whose names and birth date are, or once were, the same
select distinct o.child_id from intake.blind_index b join intake.blind_index o using (fingerprint)
where b.child_id = any($1::uuid[]) and not o.child_id = any($1::uuid[])

-- campaigns_of: every campaign of these cases
select campaign_id from intake.campaign where case_id = any($1::uuid[])

-- forget_photos: erases the photos of these children
with gone as (delete from intake.photo where child_id = any($1::uuid[]) returning 1) select count(*) from gone

-- forget_links: erases the addresses of the pictures of these campaigns
with gone as (delete from intake.media_link where campaign_id = any($1::uuid[]) returning 1)
select count(*) from gone

-- forget_answers: erases first answers to calls whose path names one of these
with gone as (
    delete from kernel.idempotency i using unnest($1::text[]) one where position(one in i.route) > 0 returning 1
) select count(*) from gone

-- children_of: every child of these cases
select distinct child_id from intake.case_child where case_id = any($1::uuid[])

-- due_children: children whose last case was closed so many months ago, the longest first; not those whose duplicate went
-- into a case that is open, and not those who are erased or being erased
select c.child_id, max(over.at) as closed_at, count(*) as cases from intake.case_child c
join intake.case_open o using (case_id)
cross join lateral (select max(e.time) as at from eventlog.events e
    where e.stream = 'case-' || c.case_id and e.type in ('case.closed.v1', 'case.merged_into.v1')) over
where not exists (select from kernel.erasure k where c.child_id = any(k.children))
group by c.child_id
having bool_and(not o.open) and max(over.at) <= clock_timestamp() - make_interval(months => $1)
   and not exists (
    select from intake.case_child d join eventlog.events m on m.stream = 'case-' || d.case_id
    join intake.case_open t on t.case_id = (m.data ->> 'case_id')::uuid
    where d.child_id = c.child_id and m.type = 'case.merged_into.v1' and t.open)
order by 2, 1 limit $2

-- in_the_future: whether a moment is still to come, by the clock that says when events were recorded
select $1::timestamptz > clock_timestamp()
