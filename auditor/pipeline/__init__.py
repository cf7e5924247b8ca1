"""From a configuration to a record: what is opened, in which steps, and what survives a kill."""
