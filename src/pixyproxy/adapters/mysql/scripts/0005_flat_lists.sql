-- Lists and searches whose cost does not grow with the number of images, for MariaDB 10.11 and MySQL 8 or later.
--
-- The program fills image_stragglers for the images that are there, in batches.

-- What an author has, told apart by who may see it.
ALTER TABLE images
    ADD KEY images_owned (author, visibility, status, id),
    DROP KEY images_author;

-- Images that were made more than an hour before another that had been added earlier.
CREATE TABLE IF NOT EXISTS image_stragglers (
    image_id BIGINT NOT NULL PRIMARY KEY,
    CONSTRAINT image_stragglers_image FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
