"""What a sample of people says about everybody: 95% intervals over identities, and many claims."""
