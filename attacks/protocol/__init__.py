"""What an adversary has, what is asked of it, and how its answers are scored."""
