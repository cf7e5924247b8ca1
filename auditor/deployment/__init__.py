"""What a team takes from an audit into service: protected models, galleries and pictures."""
