"""Orbit's SDK: suites of dependent API tests on Postgres and Supabase."""

__version__ = "0.1.0"
