-- Images that staff hide, for SQLite. The column visibility of a public one holds 'hidden' while it is hidden, so that
-- programs of before do not find it, and searches find it by the indexes that are there.
--
-- floor: 11

ALTER TABLE images ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;   -- 1: hidden by staff
