-- Keys are kept as keyed hashes from now on, since a caller may have made one from a name. Those that were kept as sent go.
delete from kernel.idempotency;
