"""What the paper claims about networks trained on CIFAR-10, which is not here: open, with what it would need."""

from __future__ import annotations

from derive.equation import LedgerEntry
from derive.papers.bjorck2018.setting import paper

TRAINING = "CIFAR-10 and trainings of a ResNet-110 over its full schedules, up to 2,400 epochs"


@paper.entry
def claim_unnormalized_rate() -> LedgerEntry:
    return paper.claim(
        "claim-unnormalized-rate",
        "without normalization ResNet-110 converges only at a learning rate of 0.0001, in some 2,400 epochs",
        paper.lacking(TRAINING),
    )


@paper.entry
def claim_same_rate_same_accuracy() -> LedgerEntry:
    return paper.claim(
        "claim-same-rate-same-accuracy",
        "at the same low learning rate networks with and without normalization are as accurate (Figure 1)",
        paper.lacking(TRAINING),
    )


@paper.entry
def claim_large_rates_generalize() -> LedgerEntry:
    return paper.claim(
        "claim-large-rates-generalize",
        "with normalization larger learning rates converge faster and generalize better (Figure 1)",
        paper.lacking(TRAINING),
    )


@paper.entry
def claim_rates_mediate() -> LedgerEntry:
    return paper.claim(
        "claim-rates-mediate",
        "most of what normalization gives comes from the learning rates that it allows",
        paper.lacking(TRAINING),
    )


@paper.entry
def claim_wide_minima() -> LedgerEntry:
    return paper.claim(
        "claim-wide-minima",
        "larger learning rates lead to wider minima, as smaller batches do",
        paper.lacking(f"{TRAINING}, and the sharpness of the minima that they reach"),
    )


@paper.entry
def claim_no_recovery() -> LedgerEntry:
    return paper.claim(
        "claim-no-recovery",
        "networks whose loss passed 1,000 never recover to an acceptable accuracy",
        paper.lacking(TRAINING),
    )


@paper.entry
def claim_last_layer_suffices() -> LedgerEntry:
    return paper.claim(
        "claim-last-layer-suffices",
        "normalization in the last layer alone gives two thirds of the gain, at learning rates up to 0.03",
        paper.lacking(TRAINING),
    )


@paper.entry
def claim_large_means() -> LedgerEntry:
    return paper.claim(
        "claim-large-means",
        "weights that leave channels of large mean have large gradients (appendix G)",
        paper.needs("channel_means"),
    )
