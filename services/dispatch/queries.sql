-- planner ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- recipients_stay: no recipient is created, changed or activated while a revision is planned
select pg_advisory_xact_lock_shared(116010)

-- recipients_change: no revision is planned while a recipient is created, changed or activated
select pg_advisory_xact_lock(116010)

-- moment: the one clock that counts
select clock_timestamp()

-- alert_locked: an alert, kept from others until the end of the transaction
select a.*, exists (select 1 from dispatch.alert_revision r where r.alert_id = a.alert_id and r.cause_id = $2)
    as repeated,
    (select r.fingerprint from dispatch.alert_revision r where r.alert_id = a.alert_id
        and r.revision = a.head_revision) as fingerprint
from dispatch.alert a where a.alert_id = $1 for update of a

-- alert_insert: a new alert
insert into dispatch.alert (alert_id, kind, case_id, campaign_id, mode, areas, case_version, head_revision,
    issued_at, expires_at, audiences)
values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $10)

-- alert_revised: the alert as of its newest revision
update dispatch.alert set head_revision = $2, withdrawn = $3, areas = $4, expires_at = $5,
    case_version = greatest(case_version, $6), audiences = $7
where alert_id = $1

-- alert_rests_on: a standby rests on a newer version of the case
update dispatch.alert set case_version = greatest(case_version, $2) where alert_id = $1

-- stored: whether the store knows an event
select exists (select 1 from eventlog.events where event_id = $1)

-- revision_insert: a revision
insert into dispatch.alert_revision (alert_id, revision, content, reason, expires_at, cause_id, fingerprint,
    created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)

-- earlier: the CAP messages of earlier revisions; one without any is named as if it had the usual form, since a
-- reference too many cancels nothing, and one too few leaves a child on a screen
select r.revision, r.created_at, coalesce(b.variant, $3) as variant
from dispatch.alert_revision r left join dispatch.body b on b.alert_id = r.alert_id and b.revision = r.revision
    and b.variant like 'cap.%' and b.variant <> 'cap.withdrawn'
where r.alert_id = $1 and r.revision < $2 and r.content <> 'withdrawn' order by r.revision, variant

-- body_insert: frozen bytes of a revision
insert into dispatch.body (alert_id, revision, variant, box, clear) values ($1, $2, $3, $4, $5)
on conflict do nothing

-- recipients: everybody whom an alert of this mode could reach
select recipient_id, format, content, areas, languages, audience, exercise, state from dispatch.recipient
where exercise = $1 order by recipient_id

-- last_contents: what the newest delivery of an alert to each recipient did
select distinct on (recipient_id) recipient_id, content, revision from dispatch.delivery where alert_id = $1
order by recipient_id, revision desc

-- lanes_lock: in the order in which everybody locks lanes
select recipient_id from dispatch.lane where alert_id = $1 and recipient_id = any($2::uuid[])
order by recipient_id, alert_id for update

-- lanes_new: lanes where there are none
insert into dispatch.lane (recipient_id, alert_id) select r, $1 from unnest($2::uuid[]) r order by r
on conflict do nothing

-- supersede: what waits gives way to the newest; a withdrawal does not give way to what is recorded dark
update dispatch.delivery set state = 'superseded', finished_at = clock_timestamp()
where alert_id = $1 and recipient_id = any($2::uuid[]) and state = 'pending' and revision < $3
    and ($4 or content <> 'withdrawn')

-- deliveries_insert: one delivery per recipient
insert into dispatch.delivery (delivery_id, recipient_id, alert_id, revision, content, variant, state, finished_at)
select d.delivery_id, d.recipient_id, $1, $2, d.content, d.variant, $3,
    case when $3 = 'superseded' then clock_timestamp() end
from unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[]) as d(delivery_id, recipient_id, content, variant)
order by d.recipient_id
on conflict do nothing

-- lanes_due: at once, whatever they were waiting for; an appeal ends the re-assertion of an earlier withdrawal
update dispatch.lane l set due_at = clock_timestamp(), failures = 0, withdrawal = w.withdrawal,
    reassert_at = case when w.withdrawal then l.reassert_at end
from unnest($2::uuid[], $3::boolean[]) as w(recipient_id, withdrawal)
where l.alert_id = $1 and l.recipient_id = w.recipient_id

-- lanes_rest: nothing waits in these any more
update dispatch.lane l set due_at = null
where l.alert_id = $1 and l.recipient_id = any($2::uuid[]) and not exists (
    select 1 from dispatch.delivery d
    where d.alert_id = l.alert_id and d.recipient_id = l.recipient_id and d.state = 'pending')

-- seen_of: the last version that was acted on of each of these streams
select stream, version from dispatch.stream_seen where stream = any($1::text[])

-- seen: the last version of a stream that was acted on
select version from dispatch.stream_seen where stream = $1

-- missed: what to act on between two versions of a stream; of other types, also ones not known here, nothing is read
select * from eventlog.events
where stream = $1 and version > $2 and version < $3 and type = any($4::text[]) and origin = $5 order by version

-- saw: acted on this version
insert into dispatch.stream_seen (stream, version) values ($1, $2)
on conflict (stream) do update set version = greatest(stream_seen.version, excluded.version)

-- alerts_lit_of_case: alerts about a case that are not withdrawn
select * from dispatch.alert where case_id = $1 and not withdrawn order by alert_id

-- alerts_lit_of_stops: alerts that a stop must darken and that are not withdrawn
select a.*, s.kind as stop_kind, s.id as stop_id
from unnest($1::text[], $2::uuid[], $3::bigint[]) as s(kind, id, version)
join dispatch.alert a on not a.withdrawn and (
    (s.kind = 'campaign' and a.campaign_id = s.id)
    or (s.kind = 'case' and a.case_id = s.id and a.campaign_id is null and a.case_version < s.version))
order by a.alert_id

-- standby ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- standby: the newest standby of a case, with the state of its alert
select s.*, a.withdrawn, a.areas, a.mode, a.case_version from dispatch.standby s join dispatch.alert a using (alert_id)
where s.case_id = $1

-- standby_begins: a new episode
insert into dispatch.standby (case_id, alert_id, episode, correlation_id) values ($1, $2, $3, $4)
on conflict (case_id) do update set alert_id = excluded.alert_id, episode = excluded.episode,
    correlation_id = excluded.correlation_id, calm_since = null

-- standby_goes_on: worrying again, or still
update dispatch.standby set episode = greatest(episode, $2), calm_since = null where case_id = $1

-- standby_calms: not worrying since then
update dispatch.standby set calm_since = coalesce(calm_since, $2) where case_id = $1

-- standby_over: calm for long enough, by the database's clock
select s.case_id from dispatch.standby s join dispatch.alert a using (alert_id)
where not a.withdrawn and s.calm_since <= clock_timestamp() - $1::interval order by s.calm_since

-- parked ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- parked_cases: which of these cases wait for a person
select distinct case_id from dispatch.parked where case_id = any($1::text[])

-- park: keeps a message until a person resumes its case
insert into dispatch.parked (case_id, stream, version, topic, partition, record_offset, key, value, headers, error_class)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing

-- parked_of: what waits of a case, in order
select * from dispatch.parked where case_id = $1 order by parked_id

-- unpark: it is done
delete from dispatch.parked where parked_id = $1

-- partners ────────────────────────────────────────────────────────────────────────────────────────────────────

-- partner_insert: a new recipient, not yet verified
insert into dispatch.recipient (recipient_id, name, url, format, content, areas, languages, contact, audience,
    exercise, state, secret)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'unverified', $11)

-- partner: one recipient with its handshake
select r.*, p.due_at as ping_due_at, p.attempts as ping_attempts, p.last_status as ping_status,
    p.last_error_class as ping_error_class
from dispatch.recipient r left join dispatch.ping p using (recipient_id) where recipient_id = $1

-- partner_locked: one recipient, kept from others
select * from dispatch.recipient where recipient_id = $1 for update

-- partners: recipients in order of creation
select r.*, p.due_at as ping_due_at, p.attempts as ping_attempts, p.last_status as ping_status,
    p.last_error_class as ping_error_class
from dispatch.recipient r left join dispatch.ping p using (recipient_id)
where ($1::uuid is null or r.recipient_id > $1) order by r.recipient_id limit $2

-- partner_update: what an administrator may change; what it shows is to be brought in line
update dispatch.recipient set name = $2, url = $3, content = $4, areas = $5, languages = $6, contact = $7, state = $8,
    reconcile_at = clock_timestamp()
where recipient_id = $1

-- partner_rotate: a new secret; the old one goes on signing for a day
update dispatch.recipient set previous_secret = secret, previous_until = clock_timestamp() + interval '24 hours',
    secret = $2
where recipient_id = $1 returning previous_until

-- partner_activate: it answered; what it shows is to be brought in line
update dispatch.recipient set state = 'active', reconcile_at = clock_timestamp()
where recipient_id = $1 and state <> 'paused' returning *

-- ping_due: a handshake at once
insert into dispatch.ping (recipient_id, due_at) values ($1, clock_timestamp())
on conflict (recipient_id) do update set due_at = clock_timestamp(), attempts = 0, requested_at = clock_timestamp(),
    last_status = null, last_error_class = null

-- alerts_lit: alerts of a mode that are neither withdrawn nor expired
select * from dispatch.alert where not withdrawn and mode = $1
    and (expires_at is null or expires_at > clock_timestamp()) order by alert_id

-- alerts_had: lit alerts of which a recipient had anything, with what it had last
select a.*, d.revision, d.content from dispatch.alert a join lateral (
    select d.revision, d.content from dispatch.delivery d
    where d.alert_id = a.alert_id and d.recipient_id = $1 order by d.revision desc limit 1) d on true
where not a.withdrawn and (a.expires_at is null or a.expires_at > clock_timestamp())
order by a.alert_id

-- to_reconcile: recipients whose change has not been followed by what they show
select recipient_id from dispatch.recipient where reconcile_at is not null order by reconcile_at

-- reconciled: done, unless the recipient was changed again meanwhile
update dispatch.recipient set reconcile_at = null where recipient_id = $1 and reconcile_at = $2

-- correlation: of an alert, from its first event
select correlation_id from eventlog.events where stream = $1 order by version limit 1

-- event_cause: what an event says of its cause, without reading it as a model
select type, correlation_id, mode, data ->> 'reason' as reason, (data ->> 'case_open')::boolean as case_open
from eventlog.events where event_id = $1

-- last_deliveries: the newest delivery of each alert to a recipient
select distinct on (alert_id) alert_id, revision, content, state from dispatch.delivery
where recipient_id = $1 and alert_id = any($2::uuid[]) order by alert_id, revision desc

-- variants: which forms there are of the newest revision of these alerts
select b.alert_id, b.variant from dispatch.body b
join dispatch.alert a on a.alert_id = b.alert_id and a.head_revision = b.revision where b.alert_id = any($1::uuid[])

-- sources: the sealed content of the newest revision of these alerts
select a.*, r.created_at as revised_at, b.box from dispatch.alert a
join dispatch.alert_revision r on r.alert_id = a.alert_id and r.revision = a.head_revision
join dispatch.body b on b.alert_id = a.alert_id and b.revision = a.head_revision and b.variant = 'source'
where a.alert_id = any($1::uuid[]) order by a.alert_id

-- lanes_lock_of: the lanes of one recipient in the order in which everybody locks them
select alert_id from dispatch.lane where recipient_id = $1 and alert_id = any($2::uuid[])
order by recipient_id, alert_id for update

-- deliveries and receipts ─────────────────────────────────────────────────────────────────────────────────────

-- alert: one alert
select * from dispatch.alert where alert_id = $1

-- revisions: of one alert
select revision, content, reason, expires_at, created_at from dispatch.alert_revision where alert_id = $1
order by revision

-- delivery_counts: how far an alert has come
select revision, state, count(*) as count from dispatch.delivery where alert_id = $1 group by 1, 2 order by 1, 2

-- deliveries: what went where, newest first, with the newest attempts ($7 at most) at each
select d.*, coalesce((select jsonb_agg(jsonb_build_object('at', t.started_at, 'status', t.status,
    'error_class', t.error_class, 'took_ms', round(extract(epoch from t.ended_at - t.started_at) * 1000))
    order by t.attempt_id) from (select * from dispatch.attempt where delivery_id = d.delivery_id
                               order by attempt_id desc limit $7) t),
    '[]') as tries
from dispatch.delivery d
where ($1::uuid is null or d.alert_id = $1) and ($2::uuid is null or d.recipient_id = $2)
    and ($3::text is null or d.state = $3)
    and ($4::timestamptz is null or (d.created_at, d.delivery_id) < ($4, $5::uuid))
order by d.created_at desc, d.delivery_id desc limit $6

-- delivery_lane: whose delivery it is
select recipient_id, alert_id from dispatch.delivery where delivery_id = $1

-- delivery_head: a delivery and the newest one of its lane, which is locked already
select d.*, (select max(h.revision) from dispatch.delivery h
    where h.recipient_id = d.recipient_id and h.alert_id = d.alert_id) as head,
    r.state as recipient_state
from dispatch.delivery d join dispatch.recipient r using (recipient_id) where d.delivery_id = $1

-- delivery_again: waits to be sent once more
update dispatch.delivery set state = 'pending', finished_at = null where delivery_id = $1

-- delivery_of: what a recipient was to get of an alert: one revision of it, or any
select d.revision, a.case_id, a.mode from dispatch.delivery d join dispatch.alert a using (alert_id)
where d.alert_id = $1 and d.recipient_id = $2 and ($3::int is null or d.revision = $3) limit 1

-- receipt_insert: what the screens say now; the same again, or something older, changes nothing, but a display that
-- was dark in between may say once more that it shows, and then that it is dark. Returns whether it is the first such
insert into dispatch.receipt as had (alert_id, recipient_id, revision, state, screens, at)
values ($1, $2, $3, $4, $5, $6)
on conflict (alert_id, recipient_id, revision, state) do update
    set screens = excluded.screens, at = excluded.at, recorded_at = clock_timestamp()
    where (select max(o.at) from dispatch.receipt o where o.alert_id = had.alert_id
               and o.recipient_id = had.recipient_id and o.revision = had.revision and o.state <> had.state)
          between had.at and excluded.at - interval '1 microsecond'
returning xmax = 0 as first

-- partner_alerts: what a recipient may show, as far as these tables know
select a.*, d.revision, d.content from dispatch.alert a join lateral (
    select d.revision, d.content, d.state from dispatch.delivery d
    where d.alert_id = a.alert_id and d.recipient_id = $1 order by d.revision desc limit 1) d on true
where not a.withdrawn and (a.expires_at is null or a.expires_at > clock_timestamp())
    and d.content <> 'withdrawn' and d.state in ('pending', 'delivered')
order by a.alert_id

-- partner_signing: who a partner is and what signs for it
select recipient_id, state, secret, case when previous_until > clock_timestamp() then previous_secret end
    as previous_secret
from dispatch.recipient where recipient_id = $1

-- partner_alert: an alert as of the newest delivery of it to a recipient
select a.*, d.revision, d.content, v.created_at, r.languages, r.audience, r.format,
    a.withdrawn or coalesce(a.expires_at <= clock_timestamp(), false) or r.state = 'paused'
        or d.state not in ('pending', 'delivered') as over
from dispatch.delivery d
join dispatch.alert a using (alert_id)
join dispatch.alert_revision v on v.alert_id = d.alert_id and v.revision = d.revision
join dispatch.recipient r using (recipient_id)
where d.recipient_id = $1 and d.alert_id = $2 order by d.revision desc limit 1

-- form: one sealed form of a revision, or its whole content
select box from dispatch.body where alert_id = $1 and revision = $2 and variant = $3

-- alert_shared: an alert that stays as it is until the end of the transaction
select a.*, coalesce(a.expires_at <= clock_timestamp(), false) as expired from dispatch.alert a where alert_id = $1
for share
