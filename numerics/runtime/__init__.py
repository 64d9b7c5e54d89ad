"""Devices, compilers, run files, results and checkpoints.  Knows no theory."""
