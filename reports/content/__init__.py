"""What every rendering says: tables, caveats, threat models, claims and risks."""
