-- The last `display.renewed` to each display partner, and when the next one is due; none is ever sent twice.
-- `failures`: in a row.
create table dispatch.renewal (
    recipient_id uuid primary key references dispatch.recipient,
    due_at timestamptz not null,
    sent_at timestamptz,
    alerts int,
    status int,
    error_class text,
    failures int not null default 0
);
-- What is lit is asked for every few seconds, beside the alerts of years.
create index alert_lit on dispatch.alert (alert_id) where not withdrawn;
