"""Defenses, named by mechanism, each a function from target to target."""
