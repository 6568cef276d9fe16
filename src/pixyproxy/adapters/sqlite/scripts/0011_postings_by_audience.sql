-- One index of searches, divided by who may find an image, for SQLite: no search reads rows of images that its viewer
-- may not see.
--
-- The program fills image_postings for the images that are there, in batches, and drops image_stragglers. Programs of
-- before cannot run on these tables; while they do, they begin no generation and lose none.

DROP TRIGGER IF EXISTS images_deleted;
DROP TRIGGER IF EXISTS images_deleted_sources;
DROP TRIGGER IF EXISTS images_deleted_stragglers;
DROP TABLE IF EXISTS image_tags;
DROP TABLE IF EXISTS image_terms;
DROP TABLE IF EXISTS image_sources;

CREATE TABLE IF NOT EXISTS image_postings (
    audience INTEGER NOT NULL,                        -- 0: everybody, 1: nobody, else a hash of `user:NAME`
    term     TEXT    NOT NULL,                        -- its first letter tells words, tags, sources and times
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    PRIMARY KEY (audience, term, image_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS image_postings_image ON image_postings (image_id, term);

-- Finds an image only for those who may see it.
CREATE INDEX IF NOT EXISTS images_access ON images (guid, visibility, author);

-- The sqlite3 shell does not enforce foreign keys unless told to; rows deleted there take their postings along too.
CREATE TRIGGER IF NOT EXISTS images_postings_deleted AFTER DELETE ON images BEGIN
    DELETE FROM image_postings WHERE image_id = OLD.id;
END;
