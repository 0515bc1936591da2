"""The event store on PostgreSQL: many nodes, one append lock, the database's clock."""
