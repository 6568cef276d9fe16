-- Lets a sweep go on where the last one ended, for MariaDB 10.11 and MySQL 8 or later.
--
-- floor: 11

ALTER TABLE maintenance_leases
    ADD COLUMN position VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL;   -- how far the task has come
