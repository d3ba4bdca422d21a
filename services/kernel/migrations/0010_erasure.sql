-- What is to be forgotten. The decisions are events; these rows are the work that follows, for every service its part.
-- `children` and `cases` are empty until it is approved: only what a second person agreed to is ever done.
create table kernel.erasure (
    erasure_id uuid primary key,
    requested_at timestamptz not null default clock_timestamp(),
    children uuid[] not null default '{}',
    cases uuid[] not null default '{}',
    approved_at timestamptz,
    executed_at timestamptz,
    completed_at timestamptz
);
create index erasure_waiting on kernel.erasure (approved_at) where approved_at is not null and completed_at is null;

-- What a service has erased, counted; it was done at least once.
create table kernel.erasure_part (
    erasure_id uuid not null references kernel.erasure,
    part text not null,
    erased jsonb not null,
    done_at timestamptz not null default clock_timestamp(),
    primary key (erasure_id, part)
);

-- Who was sent an alert about an erased child, and whether it says that it deleted it: one row per alert.
create table kernel.erasure_partner (
    erasure_id uuid not null references kernel.erasure,
    recipient_id uuid not null,
    alert_id uuid not null,
    name text not null,
    confirmed_at timestamptz,
    given_up_at timestamptz,
    given_up_by text,
    primary key (erasure_id, recipient_id, alert_id)
);
