"""What the paper claims about single steps along a gradient: measured on digits, at initialization and soon after."""

from __future__ import annotations

from derive.equation import LedgerEntry
from derive.papers.bjorck2018.setting import paper


@paper.entry
def claim_range_of_steps() -> LedgerEntry:
    return paper.claim(
        "claim-range-of-steps",
        "along the gradient the loss falls over a far wider range of steps with normalization (Figure 3)",
        paper.needs("first_steps"),
    )


@paper.entry
def claim_large_steps_diverge() -> LedgerEntry:
    return paper.claim(
        "claim-large-steps-diverge",
        "larger steps diverge without normalization, and not with it (Figure 3)",
        paper.needs("first_steps"),
    )


@paper.entry
def claim_moments_explode() -> LedgerEntry:
    return paper.claim(
        "claim-moments-explode",
        "in a step that diverges the moments explode in the higher layers (Figure 4)",
        paper.needs("first_steps"),
    )


@paper.entry
def claim_activations_diverge() -> LedgerEntry:
    return paper.claim(
        "claim-activations-diverge",
        "a step diverges because activations grow with depth, up to the output",
        paper.needs("first_steps"),
    )


@paper.entry
def claim_shallow_rates() -> LedgerEntry:
    return paper.claim(
        "claim-shallow-rates",
        "shallower networks without normalization allow larger learning rates (appendix H)",
        paper.needs("first_steps"),
    )
