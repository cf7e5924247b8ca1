"""What is learned about a feature space: people's means and spread, metrics, maps, expansions."""
