"""A censored internet on one machine, for tests and the demonstration. Imports no other part."""
