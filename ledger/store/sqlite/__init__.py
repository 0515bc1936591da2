"""The event store on SQLite: one file, one owner, one writer."""
