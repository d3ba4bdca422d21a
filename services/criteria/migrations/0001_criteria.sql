create schema criteria;

-- What the rules need to know of a case after `version` events of its stream, and the assessment that stands, which
-- is version `assessment_version` of its own stream. All of it can be built again from the event store: a row in
-- another format counts as missing.
create table criteria.case_state (
    case_id uuid primary key,
    format int not null,
    version bigint not null,
    state jsonb not null,
    assessment jsonb,
    assessment_version bigint not null,
    changed_at timestamptz not null default clock_timestamp()
) with (fillfactor = 70);

-- When the clock alone will change the assessment of a case.
create table criteria.timer (
    case_id uuid primary key,
    due_at timestamptz not null
);
create index timer_due on criteria.timer (due_at);

-- Messages of cases in quarantine: the one that could not be read or assessed, and all later ones of its case.
-- `case_id` null: the message does not say which case it belongs to. `headers`: pairs of name and base64.
create table criteria.parked (
    parked_id bigint generated always as identity primary key,
    case_id uuid,
    stream_version bigint,
    error_class text not null,
    topic text not null,
    partition int not null,
    message_offset bigint not null,
    headers jsonb not null,
    value bytea not null,
    parked_at timestamptz not null default clock_timestamp(),
    unique nulls not distinct (case_id, topic, partition, message_offset)
);
