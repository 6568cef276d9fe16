-- Images that staff hide, for MariaDB 10.11 and MySQL 8 or later. The column visibility of a public one holds 'hidden'
-- while it is hidden, so that programs of before do not find it, and searches find it by the indexes that are there.
--
-- floor: 11

ALTER TABLE images ADD COLUMN hidden TINYINT NOT NULL DEFAULT 0;   -- 1: hidden by staff
