"""ragstone's client: `models` are what goes over the wire, `client` sends it and waits for what comes back."""
