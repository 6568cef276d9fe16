"""The parts shared by the SQL adapters: repositories, mapping, migrations, and threads that own connections."""
