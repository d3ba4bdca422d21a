-- Children of exercises have fingerprints of their own from now on. Those that they had, as if they were real, go,
-- except of children who are in a real case too.
delete from intake.blind_index b
where exists (select from intake.case_child c where c.child_id = b.child_id)
  and not exists (
    select from intake.case_child c join eventlog.events e on e.stream = 'case-' || c.case_id and e.version = 1
    where c.child_id = b.child_id and e.mode = 'actual');
