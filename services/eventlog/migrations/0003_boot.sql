-- On which boot of which machine the relay was at work: what a power cut took from Kafka's page cache is missing only
-- when the machine has started anew since.
alter table eventlog.relay_checkpoint add column boot_id text not null default '';
