-- Photos of children, sealed with the child's key: destroying that key erases them. Already re-encoded, so nothing in
-- them says where or by whom they were taken. `digest` is SHA-256 of the sealed bytes.
create table intake.photo (
    media_id uuid primary key,
    child_id uuid not null,
    type text not null,
    width int not null,
    height int not null,
    digest bytea not null,
    box bytea not null,
    created_at timestamptz not null default clock_timestamp()
);
create index photo_child on intake.photo (child_id);
-- what is encrypted does not get smaller
alter table intake.photo alter column box set storage external;

-- To which picture of which campaign a public address leads; only a digest of the address is kept.
create table intake.media_link (
    digest bytea primary key,
    campaign_id uuid not null references intake.campaign,
    name text not null
);
