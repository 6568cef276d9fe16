-- What a call that waits for its turn needs and its rows do not hold, for SQLite: JSON with the first of
-- its rows, emptied when the call starts.
--
-- floor: 11

ALTER TABLE images ADD COLUMN queued_call TEXT NULL;
