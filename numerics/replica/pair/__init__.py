"""Replica-symmetric saddle points of two fields in numbers."""
