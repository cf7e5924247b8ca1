"""A study with people: what they are shown, what they answer, and how well they did."""
