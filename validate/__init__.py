"""orderparams: validate."""
