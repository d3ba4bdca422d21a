-- One row per running process: readiness is judged by it, so a process that hangs is not ready.
create table kernel.heartbeat (
    service text not null,
    instance text not null,
    beat_at timestamptz not null default clock_timestamp(),
    ready boolean not null,
    progress jsonb not null,
    primary key (service, instance)
);
