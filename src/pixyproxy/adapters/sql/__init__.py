"""What the two SQL adapters share: statements, mapping, migrations, and threads that own connections."""
