-- A page is closed when somebody acknowledges it; one that lasts, when what it is about is over.
drop index kernel.page_open;
alter table kernel.page add column lasting boolean not null default false;
alter table kernel.page add column closed_at timestamptz;
update kernel.page set closed_at = acknowledged_at where acknowledged_at is not null;
create unique index page_open on kernel.page (matter) where closed_at is null;

-- Who can be paged. `place`: in which order; `slots`: weekly hours on duty (null: always); `channels` is sealed.
create table kernel.duty (
    person_id uuid primary key,
    name text not null,
    language text not null check (language in ('nl', 'fr', 'de', 'en')),
    place int not null,
    channels jsonb not null,
    slots jsonb,
    created_at timestamptz not null default clock_timestamp()
);

-- One message to one person about one page. `due_at`: when it is tried next (null: it need not be any more);
-- `failed_at`: the last time that none of the person's channels took it.
create table kernel.notice (
    notice_id bigint generated always as identity primary key,
    page_id bigint not null references kernel.page,
    person_id uuid not null references kernel.duty on delete cascade,
    kind text not null check (kind in ('page', 'all_clear')),
    created_at timestamptz not null default clock_timestamp(),
    due_at timestamptz default clock_timestamp(),
    attempts int not null default 0,
    failed_at timestamptz,
    sent_at timestamptz,
    lease_until timestamptz,
    fence bigint not null default 0
);
create index notice_due on kernel.notice (due_at) where due_at is not null;
create index notice_page on kernel.notice (page_id);
