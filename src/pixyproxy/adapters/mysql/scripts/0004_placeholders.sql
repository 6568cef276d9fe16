-- A tiny likeness of each image, for galleries that wait for the picture. Made as images are asked for.

ALTER TABLE images
    ADD COLUMN placeholder TEXT CHARACTER SET ascii COLLATE ascii_bin NULL;  -- data: URI
