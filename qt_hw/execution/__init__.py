"""Running circuits: the backend contract, the registry of backends, the dispatcher."""
