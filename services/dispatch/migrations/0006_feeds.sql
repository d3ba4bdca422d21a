-- The feeds are read by anybody, again and again: neither query may walk through the alerts of all years.
create index alert_public_lit on dispatch.alert (alert_id)
    where not withdrawn and mode = 'actual' and kind in ('public', 'child_alert');
create index revision_withdrawn on dispatch.alert_revision (created_at) where content = 'withdrawn';
