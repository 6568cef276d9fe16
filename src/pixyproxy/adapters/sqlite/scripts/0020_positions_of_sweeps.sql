-- Lets a sweep go on where the last one ended, for SQLite.
--
-- floor: 11

ALTER TABLE maintenance_leases ADD COLUMN position TEXT NULL;   -- how far the task has come
