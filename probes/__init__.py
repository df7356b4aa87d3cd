"""Observe: what happened on the network, step by step. Never says what it means."""
