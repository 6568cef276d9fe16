-- Lets old and new programs run side by side during an upgrade, and one process at a time sweep, for SQLite.
--
-- A script that only adds something says the lowest schema version a program must know to run on it, in a line
-- such as "-- floor: 6" of its own comment. A script without that line is a breaking change.

ALTER TABLE schema_migrations ADD COLUMN floor INTEGER NULL;  -- lowest version a program must know to run on this

-- Leases on tasks that one process at a time does for the whole database.
CREATE TABLE maintenance_leases (
    name       TEXT NOT NULL PRIMARY KEY,
    owner      TEXT NOT NULL,                         -- the process that holds it, and until when
    expires_at TEXT NOT NULL
) WITHOUT ROWID;
