-- Lists and searches whose cost does not grow with the number of images, for SQLite.
--
-- The program fills image_stragglers for the images that are there.

-- What an author has, told apart by who may see it.
CREATE INDEX images_owned ON images (author, visibility, status, id);
DROP INDEX images_author;

-- Images that were made more than an hour before another that had been added earlier.
CREATE TABLE image_stragglers (
    image_id INTEGER NOT NULL PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE
);

-- As images_deleted does for the other tables.
CREATE TRIGGER images_deleted_stragglers AFTER DELETE ON images BEGIN
    DELETE FROM image_stragglers WHERE image_id = OLD.id;
END;
