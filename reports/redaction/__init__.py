"""Nothing of a person gets out unasked: names replaced, pictures blurred, text sanitized."""
