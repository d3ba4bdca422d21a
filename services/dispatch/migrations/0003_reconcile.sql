-- What a recipient shows is to be brought in line with what it now is. Written with the change itself, so that a crash
-- in between forgets nothing.
alter table dispatch.recipient add column reconcile_at timestamptz;
create index recipient_reconcile on dispatch.recipient (reconcile_at) where reconcile_at is not null;
