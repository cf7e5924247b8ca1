"""`python -m auditor` is the command `audit`."""

from auditor.cli.supervision import entry

if __name__ == "__main__":
    entry()
