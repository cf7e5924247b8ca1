"""What an audit leaves on disk: whole files, the manifest over them, and the names kept apart."""
