-- Finds the duplicates of a case without reading the log.
create index events_merged on eventlog.events ((data ->> 'case_id')) where type = 'case.merged_into.v1';
