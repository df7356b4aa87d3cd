"""Migrations of the database, applied when it is opened; a released one is never changed."""
