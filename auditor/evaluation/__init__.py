"""What is made of a scenario beside its attacks: utility, budgets, ladders, who is exposed."""
