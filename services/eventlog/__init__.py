"""The event store, which is the store of record, and the relay that distributes it."""
