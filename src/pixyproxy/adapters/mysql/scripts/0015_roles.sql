-- What users may do, and until when, for MariaDB 10.11 and MySQL 8 or later. The defaults serve rows added by hand.
--
-- floor: 11

ALTER TABLE roster
    ADD COLUMN role            VARCHAR(16)  NOT NULL DEFAULT 'student',   -- or teacher, admin
    ADD COLUMN paused          TINYINT      NOT NULL DEFAULT 0,           -- 1: may not log in
    ADD COLUMN valid_until     DATETIME(6)  NULL,                         -- UTC; NULL: without end
    ADD COLUMN password_set_by VARCHAR(255) NULL;                         -- NULL: the user
