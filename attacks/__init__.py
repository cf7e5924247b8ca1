"""Attacks on re-identification features; each states its adversary first."""
