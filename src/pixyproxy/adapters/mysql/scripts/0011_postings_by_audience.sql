-- One index of searches, divided by who may find an image, for MariaDB 10.11 and MySQL 8 or later: no search reads rows
-- of images that its viewer may not see.
--
-- The program fills image_postings for the images that are there, in batches, and drops image_stragglers. Programs of
-- before cannot run on these tables; while they do, they begin no generation and lose none.

DROP TABLE IF EXISTS image_tags;
DROP TABLE IF EXISTS image_terms;
DROP TABLE IF EXISTS image_sources;

-- For a run after one that was cut short at the end.
CREATE TABLE IF NOT EXISTS image_stragglers (
    image_id BIGINT NOT NULL PRIMARY KEY
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS image_postings (
    audience BIGINT         NOT NULL,                 -- 0: everybody, 1: nobody, else a hash of `user:NAME`
    term     VARBINARY(257) NOT NULL,                 -- its first letter tells words, tags, sources and times
    image_id BIGINT         NOT NULL,
    PRIMARY KEY (audience, term, image_id),
    KEY image_postings_image (image_id, term),
    CONSTRAINT image_postings_image FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Finds an image only for those who may see it.
ALTER TABLE images
    ADD KEY images_access (guid, visibility, author);
