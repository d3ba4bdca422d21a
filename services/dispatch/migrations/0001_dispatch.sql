create schema dispatch;

-- Who receives alerts. `secret` and `previous_secret` are sealed; both sign while a rotation lasts.
create table dispatch.recipient (
    recipient_id uuid primary key,
    name text not null,
    url text not null,
    format text not null check (format in ('json', 'cap')),
    content text not null check (content in ('full', 'link')),
    areas text[] not null,
    languages text[] not null,
    contact text not null,
    audience text not null check (audience in ('display', 'missing_persons_unit', 'mobile_team')),
    exercise boolean not null,
    state text not null check (state in ('unverified', 'active', 'paused')),
    secret jsonb not null,
    previous_secret jsonb,
    previous_until timestamptz,
    in_flight_cap int not null default 4 check (in_flight_cap >= 2),
    created_at timestamptz not null default clock_timestamp()
);

-- A handshake that is due: its first 2xx makes the recipient active.
create table dispatch.ping (
    recipient_id uuid primary key references dispatch.recipient,
    due_at timestamptz not null,
    attempts int not null default 0,
    requested_at timestamptz not null default clock_timestamp(),
    last_status int,
    last_error_class text
);

-- Never purged: the highest revision and whether it is withdrawn, so that a replay of the whole log lights nothing.
create table dispatch.alert (
    alert_id uuid primary key,
    kind text not null check (kind in ('public', 'vignette', 'child_alert', 'standby')),
    case_id uuid not null,
    campaign_id uuid,
    mode text not null check (mode in ('actual', 'exercise')),
    areas text[] not null,
    -- the version of the case stream a standby rests on; a stop of the case above it darkens the alert
    case_version bigint not null default 0,
    head_revision int not null,
    withdrawn boolean not null default false,
    issued_at timestamptz not null,
    expires_at timestamptz
);
create index alert_campaign on dispatch.alert (campaign_id);
create index alert_case on dispatch.alert (case_id);

create table dispatch.alert_revision (
    alert_id uuid not null references dispatch.alert,
    revision int not null,
    content text not null check (content in ('issued', 'updated', 'withdrawn')),
    reason text,
    expires_at timestamptz,
    -- the event that made it: the same event again makes no other
    cause_id uuid,
    -- a keyed fingerprint of what it says: a standby that says the same again makes no revision
    fingerprint bytea,
    created_at timestamptz not null default clock_timestamp(),
    primary key (alert_id, revision),
    unique (alert_id, cause_id)
);

-- Frozen bytes, exactly as they are signed and sent; one row per format, content and set of languages.
-- Sealed with the alert's key, but for withdrawals: those hold no identity and must outlive the key.
create table dispatch.body (
    alert_id uuid not null,
    revision int not null,
    variant text not null,
    box jsonb,
    clear text,
    primary key (alert_id, revision, variant),
    foreign key (alert_id, revision) references dispatch.alert_revision,
    check ((box is null) <> (clear is null))
);

-- What workers claim: one per recipient and alert, so that its revisions go out one after the other.
create table dispatch.lane (
    recipient_id uuid not null references dispatch.recipient,
    alert_id uuid not null references dispatch.alert,
    due_at timestamptz,
    withdrawal boolean not null default false,
    failures int not null default 0,
    owner text,
    lease_until timestamptz,
    fence bigint not null default 0,
    primary key (recipient_id, alert_id)
) with (fillfactor = 70);
create index lane_due on dispatch.lane (withdrawal desc, due_at) where due_at is not null;

create table dispatch.delivery (
    delivery_id uuid primary key,
    recipient_id uuid not null,
    alert_id uuid not null,
    revision int not null,
    content text not null check (content in ('issued', 'updated', 'withdrawn')),
    variant text not null,
    state text not null check (state in ('pending', 'delivered', 'superseded', 'expired', 'held')),
    attempts int not null default 0,
    -- an attempt ended without an answer: it may have arrived
    ambiguous boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    unique (alert_id, recipient_id, revision),
    foreign key (recipient_id, alert_id) references dispatch.lane
) with (fillfactor = 70);
create index delivery_pending on dispatch.delivery (recipient_id, alert_id, revision) where state = 'pending';

-- Append-only but for its end: a killed worker leaves a row without one. `head` is a sealed beginning of the answer.
create table dispatch.attempt (
    attempt_id bigint generated always as identity primary key,
    delivery_id uuid not null,
    fence bigint not null,
    owner text not null,
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    status int,
    error_class text,
    size int,
    head jsonb
);
create index attempt_delivery on dispatch.attempt (delivery_id);

create table dispatch.receipt (
    alert_id uuid not null,
    recipient_id uuid not null,
    revision int not null,
    state text not null check (state in ('displayed', 'removed', 'rejected')),
    screens int,
    at timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (alert_id, recipient_id, revision, state)
);

-- One standby alert per worrying episode; `calm_since`: not worrying since then, to be withdrawn after a while.
create table dispatch.standby (
    case_id uuid primary key,
    alert_id uuid not null references dispatch.alert,
    episode int not null,
    calm_since timestamptz,
    correlation_id text not null
);

-- The last version of each stream that was acted on: lower or equal was seen, a gap is read from the store.
create table dispatch.stream_seen (stream text primary key, version bigint not null);

-- Events of a case that holds a poison event, in order, until a person resumes it.
create table dispatch.parked (
    parked_id bigint generated always as identity primary key,
    case_id text not null,
    stream text,
    version bigint,
    topic text not null,
    partition int not null,
    record_offset bigint not null,
    key bytea not null,
    value bytea not null,
    headers jsonb not null,
    error_class text not null,
    parked_at timestamptz not null default clock_timestamp(),
    unique (topic, partition, record_offset)
);
create index parked_case on dispatch.parked (case_id);
