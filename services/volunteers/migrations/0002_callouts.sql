-- How many ways there are to somebody: the next one is tried only when there is one.
alter table volunteers.person add column channels int not null default 1;

-- Call-outs; a standby becomes one. `alert_id`: the standby alert it began with, never twice.
create table volunteers.callout (
    callout_id uuid primary key,
    exercise boolean not null,
    case_id uuid not null,
    -- of the case stream when it began: a later stop of the case ends it
    case_version bigint not null,
    alert_id uuid unique,
    state text not null check (state in ('standby', 'called', 'over')),
    wave_due_at timestamptz,
    correlation_id text not null,
    opened_at timestamptz not null default clock_timestamp(),
    unique (callout_id, exercise)
);
create unique index callout_open on volunteers.callout (case_id) where state <> 'over';
create index callout_wave on volunteers.callout (wave_due_at) where wave_due_at is not null;

-- Who was asked lately, and who is out: spreads the load, and calls nobody who is busy.
create table volunteers.asked (
    callout_id uuid not null references volunteers.callout,
    volunteer_id uuid not null references volunteers.person on delete cascade,
    asked_at timestamptz not null default clock_timestamp(),
    coming boolean not null default false,
    primary key (callout_id, volunteer_id)
);
create index asked_lately on volunteers.asked (volunteer_id, asked_at);

-- What senders claim: one per person and call-out, so that messages go out one after the other, and only the newest.
-- The two references make it impossible that somebody of an exercise is called for real, or the other way round.
create table volunteers.lane (
    callout_id uuid not null,
    volunteer_id uuid not null,
    exercise boolean not null,
    head int not null default 0,
    due_at timestamptz,
    withdrawal boolean not null default false,
    owner text,
    lease_until timestamptz,
    fence bigint not null default 0,
    primary key (callout_id, volunteer_id),
    foreign key (callout_id, exercise) references volunteers.callout (callout_id, exercise),
    foreign key (volunteer_id, exercise) references volunteers.person (volunteer_id, exercise) on delete cascade
) with (fillfactor = 70);
create index lane_due on volunteers.lane (withdrawal desc, due_at) where due_at is not null;

-- One message of one step to one person. `number` is in its link; `channel` the next of the person's ways to try.
create table volunteers.message (
    message_id uuid primary key,
    number bigint generated always as identity unique,
    callout_id uuid not null,
    volunteer_id uuid not null,
    revision int not null,
    step text not null check (step in ('standby', 'ask', 'changed', 'task', 'not_needed', 'stand_down')),
    need_revision int not null,
    task_id uuid,
    state text not null check (state in ('pending', 'sent', 'answered', 'superseded', 'failed')),
    channel int not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    -- the browser that answered by this link first
    device bytea,
    unique (callout_id, volunteer_id, revision),
    foreign key (callout_id, volunteer_id) references volunteers.lane on delete cascade
) with (fillfactor = 70);

-- A message on one channel: its number there is always the same, so that a provider takes it once however often it is
-- handed over. A killed sender leaves one that is only started; one that the last look kept back is withheld.
create table volunteers.transmission (
    message_id uuid not null references volunteers.message on delete cascade,
    channel int not null,
    tries int not null default 1,
    state text not null default 'started' check (state in ('started', 'withheld', 'accepted', 'delivered', 'failed')),
    error_class text,
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    primary key (message_id, channel)
);
