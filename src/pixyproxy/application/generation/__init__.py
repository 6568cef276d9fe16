"""The life of one paid call: submit, run, record."""
