-- gaps: a stream's versions are 1, 2, 3 … without a hole
select stream || ': ' || count(*) || ' events up to version ' || max(version) as finding
from eventlog.events group by stream having count(*) <> max(version) or min(version) <> 1

-- inverted: within a stream the order in which readers see events is the order of versions
select stream || ': version ' || version || ' is read after a later one' as finding
from (select stream, version, lag(version) over
          (partition by stream order by epoch, transaction_id, position) as before from eventlog.events) e
where version < before

-- unstopped: what ended live is known to the guard that looks before each send
select 'campaign ' || substring(e.stream from 10) || ' ended without a stop' as finding
from eventlog.events e
where e.type = 'campaign.ended.v1' and e.origin = 'live'
  and not exists (select 1 from eventlog.stop s where s.kind = 'campaign' and s.id::text = substring(e.stream from 10))

-- relay_beyond: the relay has not gone further than the store
select 'the checkpoint is at position ' || c.position || ', the last event at ' || coalesce(m.last, 0) as finding
from eventlog.relay_checkpoint c, (select max(position) as last from eventlog.events) m
where c.position > coalesce(m.last, 0)

-- projected_beyond: no read model has seen what is not in the store
select s.projection || '.v' || s.version || ' has seen version ' || s.stream_version || ' of ' || s.stream as finding
from projections.seen() s
where s.stream_version > (select coalesce(max(version), 0) from eventlog.events e where e.stream = s.stream)

-- projection_stopped: no read model was stopped by an event
select projection || '.v' || version || ' stopped at ' || place || ' (' || error || ')' as finding
from projections.stopped
