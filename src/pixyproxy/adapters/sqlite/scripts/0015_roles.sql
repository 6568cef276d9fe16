-- What users may do, and until when, for SQLite. The defaults serve rows added by hand.
--
-- floor: 11

ALTER TABLE roster ADD COLUMN role TEXT NOT NULL DEFAULT 'student';       -- or teacher, admin
ALTER TABLE roster ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;          -- 1: may not log in
ALTER TABLE roster ADD COLUMN valid_until TEXT NULL;                      -- UTC; NULL: without end
ALTER TABLE roster ADD COLUMN password_set_by TEXT NULL;                  -- NULL: the user
