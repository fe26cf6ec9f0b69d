"""PostgreSQL: the connection, the embedded server, migrations, the run ledger, publications."""
