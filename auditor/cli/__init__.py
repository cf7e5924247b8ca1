"""The command `audit`: a file per command. Options are read, and records judged, without torch."""
