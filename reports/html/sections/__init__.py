"""The sections of the page: each module turns the record into what one template shows."""
