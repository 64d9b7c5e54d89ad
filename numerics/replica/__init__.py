"""Replica-symmetric saddle points in numbers."""
