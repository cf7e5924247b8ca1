"""What an adversary holds, what is asked of it, and how its answers are scored."""
