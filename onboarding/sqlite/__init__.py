"""Django's SQLite, as many threads need it."""
