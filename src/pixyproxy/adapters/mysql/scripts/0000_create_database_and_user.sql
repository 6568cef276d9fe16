-- For the administrator of the MySQL or MariaDB server, once, before the first `pixyproxy migrate`:
--
--     mysql -u root -p < 0000_create_database_and_user.sql
--
-- pixyproxy never runs this script itself. Change both passwords (and, if you like, the names and the host
-- from which pixyproxy connects): the sample ones are refused at the start. The service has the name and the
-- password of the first user in DB_USER and DB_PASSWORD; only the command to migrate gets those of the second:
--
--     DB_USER=pixyproxy_migrate DB_PASSWORD=… pixyproxy migrate

CREATE DATABASE IF NOT EXISTS pixyproxy CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The service reads and writes rows. Whoever takes it over can change no table.
CREATE USER IF NOT EXISTS 'pixyproxy'@'%' IDENTIFIED BY 'change-me';
GRANT SELECT, INSERT, UPDATE, DELETE ON pixyproxy.* TO 'pixyproxy'@'%';

CREATE USER IF NOT EXISTS 'pixyproxy_migrate'@'%' IDENTIFIED BY 'change-me-too';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON pixyproxy.* TO 'pixyproxy_migrate'@'%';
