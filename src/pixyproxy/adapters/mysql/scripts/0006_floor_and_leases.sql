-- Lets old and new programs run side by side during an upgrade, and one process at a time sweep, for MariaDB 10.11 and
-- MySQL 8 or later.
--
-- A script that only adds something says the lowest schema version a program must know to run on it, in a line
-- such as "-- floor: 6" of its own comment. A script without that line is a breaking change.

ALTER TABLE schema_migrations
    ADD COLUMN floor INT NULL;                        -- lowest version a program must know to run on this

-- Leases on tasks that one process at a time does for the whole database.
CREATE TABLE IF NOT EXISTS maintenance_leases (
    name       VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    owner      VARCHAR(255) NOT NULL,                 -- the process that holds it, and until when
    expires_at DATETIME(6)  NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
