"""Images and users in MySQL 8 or later, or MariaDB 10.11 or later, through PyMySQL."""
