"""orderparams: derive."""
