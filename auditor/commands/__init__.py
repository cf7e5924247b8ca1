"""The commands of `audit` that have a file of their own; their options are read without torch."""
