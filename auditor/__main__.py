"""`python -m auditor` is the command `audit`."""

from auditor.supervision import entry

if __name__ == "__main__":
    entry()
