"""orderparams: numerics."""
