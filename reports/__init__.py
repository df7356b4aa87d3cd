"""Conclude and draw: verdicts, episodes and reports from stored facts. Opens no connection."""
