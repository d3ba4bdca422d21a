create schema volunteers;

-- Who helps. `profile` is sealed with the person's own key; the columns beside it are what selection looks at, and go
-- with the row when somebody leaves. `week`: minutes of the week (Monday 00:00 is 0) in which they can be called.
create table volunteers.person (
    volunteer_id uuid primary key,
    exercise boolean not null,
    consent boolean not null,
    team text not null check (team in ('mobile', 'local')),
    languages text[] not null,
    skills text[] not null,
    car boolean not null,
    lat double precision not null,
    lon double precision not null,
    radius_km int not null,
    week int4multirange not null,
    away tstzmultirange not null,
    profile jsonb not null,
    profile_event uuid not null,
    version bigint not null,
    -- finds somebody who is registered already; useless without the master key
    fingerprint bytea not null unique,
    registered_at timestamptz not null default clock_timestamp(),
    -- what a row about somebody refers to, so that an exercise and the real thing can never meet
    unique (volunteer_id, exercise)
);
