"""Django's backend for PostgreSQL, with a guard over each transaction; also behind PgBouncer."""
