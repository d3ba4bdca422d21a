create schema intake;

-- Case numbers count up within the calendar year of opening; gaps are allowed.
create table intake.case_number (year int primary key, last bigint not null);

-- What commands must find without knowing a case. Written in the transaction of the event it follows from.
create table intake.case_open (
    case_id uuid primary key,
    case_number text not null unique,
    open boolean not null
);
create table intake.case_child (
    child_id uuid not null,
    case_id uuid not null references intake.case_open,
    primary key (child_id, case_id)
);
create table intake.campaign (campaign_id uuid primary key, case_id uuid not null);
create index campaign_case on intake.campaign (case_id);

-- Finds a child that was in a case before. HMAC of given name, family name and birth date; nothing to read here.
create table intake.blind_index (fingerprint bytea primary key, child_id uuid not null);
create index blind_index_child on intake.blind_index (child_id);

-- What happens by itself at a moment; one row per campaign and kind, gone once it is done.
create table intake.timer (
    campaign_id uuid not null references intake.campaign,
    kind text not null check (kind in ('expire', 'release')),
    due_at timestamptz not null,
    primary key (campaign_id, kind)
);
create index timer_due on intake.timer (due_at);
