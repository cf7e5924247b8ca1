"""Systems that look private while they leak, and systems that are: none may be misjudged."""
