"""Errors of the derivations.  ``exit_status`` is what the command line returns for them."""

from __future__ import annotations


class DerivationError(ValueError):
    """A model or an expression that cannot be derived from, with what was wrong and what to do."""

    exit_status = 2


class AverageDoesNotExist(DerivationError):
    """A product of functions whose Gaussian average is not defined, such as a delta squared."""
