-- For the administrator of the MySQL or MariaDB server, once, before the first `pixyproxy migrate`:
--
--     mysql -u root -p < 0000_create_database_and_user.sql
--
-- pixyproxy never runs this script itself. Change the password (and, if you like, the names and the host
-- from which pixyproxy connects), and put the same values into DB_NAME, DB_USER and DB_PASSWORD.

CREATE DATABASE IF NOT EXISTS pixyproxy CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE USER IF NOT EXISTS 'pixyproxy'@'%' IDENTIFIED BY 'change-me';

-- The last five are for `pixyproxy migrate` only.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON pixyproxy.* TO 'pixyproxy'@'%';
