-- What proves that a poster hangs: a picture, sealed with the key of its call-out and gone with it.
create table volunteers.photo (
    poster_id uuid primary key,
    callout_id uuid not null references volunteers.callout on delete cascade,
    box bytea not null,
    taken_at timestamptz not null default clock_timestamp()
);
create index photo_callout on volunteers.photo (callout_id);
