-- Sessions of people in a browser: only the SHA-256 of the cookie is kept. `token`: the token it was begun with, whose
-- end is the session's end too; null when somebody else vouched for the person.
create table kernel.session (
    digest bytea primary key,
    principal text not null,
    role text not null,
    token bytea references kernel.token on delete cascade,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);
create index session_expires on kernel.session (expires_at);
