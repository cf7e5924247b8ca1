"""The papers' tables, run again: what they print beside what is measured here."""
