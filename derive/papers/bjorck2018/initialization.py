"""What the paper claims about residual networks at initialization: measured on networks that are built."""

from __future__ import annotations

from derive.equation import LedgerEntry
from derive.papers.bjorck2018.setting import paper


@paper.entry
def claim_gradients_larger() -> LedgerEntry:
    return paper.claim(
        "claim-gradients-larger",
        "gradients are consistently larger without normalization",
        paper.needs("initialization"),
    )


@paper.entry
def claim_heavy_tails() -> LedgerEntry:
    return paper.claim(
        "claim-heavy-tails",
        "gradients have heavier tails without normalization (Figure 2)",
        paper.needs("initialization"),
    )


@paper.entry
def claim_table1_without() -> LedgerEntry:
    return paper.claim(
        "claim-table1-without",
        "without normalization the sum of |d| is at most about twice the |sum of d| (Table 1)",
        paper.needs("initialization"),
    )


@paper.entry
def claim_table1_with() -> LedgerEntry:
    return paper.claim(
        "claim-table1-with",
        "with normalization the two differ by a factor of about 100 (Table 1)",
        paper.needs("initialization"),
    )


@paper.entry
def claim_single_parameters() -> LedgerEntry:
    return paper.claim(
        "claim-single-parameters",
        "single parameters show what the averages of Table 1 show (appendix J)",
        paper.needs("initialization"),
    )


@paper.entry
def claim_moments_constant() -> LedgerEntry:
    return paper.claim(
        "claim-moments-constant",
        "with normalization means and variances of channels stay relatively constant with depth (Figure 5)",
        paper.needs("initialization"),
    )


@paper.entry
def claim_moments_grow() -> LedgerEntry:
    return paper.claim(
        "claim-moments-grow",
        "without normalization they grow almost exponentially with depth (Figure 5)",
        paper.needs("initialization"),
    )


@paper.entry
def claim_output_scale() -> LedgerEntry:
    return paper.claim(
        "claim-output-scale",
        "without normalization outputs reach scales of up to 100",
        paper.needs("initialization"),
    )


@paper.entry
def claim_growth_data_independent() -> LedgerEntry:
    return paper.claim(
        "claim-growth-data-independent",
        "a substantial part of the growth with depth is independent of the data",
        paper.needs("depth_growth"),
    )


@paper.entry
def claim_one_class() -> LedgerEntry:
    return paper.claim(
        "claim-one-class",
        "without normalization almost all images are put in one class, with it they are not (Figure 6)",
        paper.needs("initialization"),
    )


@paper.entry
def claim_input_independent() -> LedgerEntry:
    return paper.claim(
        "claim-input-independent",
        "without normalization the output gradients differ little across inputs, with it they "
        "depend on them (Figure 6)",
        paper.needs("initialization"),
    )


@paper.entry
def claim_low_rank() -> LedgerEntry:
    return paper.claim(
        "claim-low-rank",
        "without normalization gradients by channel have a dominant low rank, which is less "
        "pronounced with it (Figure 7)",
        paper.needs("initialization"),
    )
