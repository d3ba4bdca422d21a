create schema kernel;

-- Bearer tokens: only their SHA-256 is kept.
create table kernel.token (
    digest bytea primary key,
    principal text not null,
    role text not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz
);

-- The first answer to a POST with an Idempotency-Key; kept seven days. `body` is an HMAC, `answer` is sealed.
create table kernel.idempotency (
    principal text not null,
    route text not null,
    key text not null,
    body bytea not null,
    status int not null,
    answer jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (principal, route, key)
);
create index idempotency_age on kernel.idempotency (created_at);

-- "Page a person": one open page per matter.
create table kernel.page (
    page_id bigint generated always as identity primary key,
    matter text not null,
    text text not null,
    opened_at timestamptz not null default clock_timestamp(),
    times bigint not null default 1,
    acknowledged_at timestamptz,
    acknowledged_by text
);
create unique index page_open on kernel.page (matter) where acknowledged_at is null;
