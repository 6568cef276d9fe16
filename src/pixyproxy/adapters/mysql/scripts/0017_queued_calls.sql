-- What a call that waits for its turn needs and its rows do not hold, for MariaDB 10.11 and MySQL 8 or later: JSON with the first of
-- its rows, emptied when the call starts.
--
-- floor: 11

ALTER TABLE images ADD COLUMN queued_call MEDIUMTEXT NULL;
