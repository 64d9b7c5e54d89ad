"""What the paper claims about trained networks: only a measurement can settle it."""

from __future__ import annotations

from dataclasses import replace

from derive import readout
from derive.equation import LedgerEntry
from derive.papers.reyes2020.setting import paper


@paper.entry
def claim_accuracy() -> LedgerEntry:
    return paper.claim(
        "claim-accuracy",
        "batch normalization improves the accuracy in training and in test",
        paper.needs("training"),
    )


@paper.entry
def claim_table1() -> LedgerEntry:
    return paper.claim(
        "claim-table1",
        "accuracies of 74.8 % (validation 77.2 %, test 72.8 %) without and 79.5 % (81.3 %, 76.7 %) with normalization",
        paper.lacking("the learning rate, the L2 parameter and the number of images of the table, which the paper does "
                      "not print (how accuracies compare is measured by the experiment reyes2020.training)"),
    )  # fmt: skip


@paper.entry
def claim_generalizes() -> LedgerEntry:
    return paper.claim(
        "claim-generalizes",
        "accuracies in training and in test are similar",
        paper.needs("training"),
    )


@paper.entry
def claim_time_per_epoch() -> LedgerEntry:
    return paper.claim(
        "claim-time-per-epoch",
        "an epoch takes longer with batch normalization",
        paper.needs("training"),
    )


@paper.entry
def claim_higher_rates() -> LedgerEntry:
    return paper.claim(
        "claim-higher-rates",
        "batch normalization enables higher learning rates",
        paper.needs("rates"),
    )


@paper.entry
def claim_placement() -> LedgerEntry:
    return paper.claim(
        "claim-placement",
        "normalizing after the rectifier does the same as before it, or better",
        paper.needs("rates"),
    )


@paper.entry
def claim_convergence() -> LedgerEntry:
    return paper.claim(
        "claim-convergence",
        "batch normalization makes training converge faster, in time as well",
        paper.needs("training"),
    )


@paper.entry
def claim_lambda_max() -> LedgerEntry:
    return paper.claim(
        "claim-lambda-max",
        "the largest eigenvalue of the last layer's Hessian is consistently smaller with batch normalization",
        paper.needs("training"),
    )


@paper.entry
def claim_pseudo_condition() -> LedgerEntry:
    return paper.claim(
        "claim-pseudo-condition",
        "the pseudo-condition number lambda_1 / lambda_10 is much smaller with batch normalization",
        paper.needs("training"),
    )


@paper.entry
def claim_top_ten() -> LedgerEntry:
    return paper.claim(
        "claim-top-ten",
        "without normalization the ten largest eigenvalues are all larger, and more widely spread",
        paper.needs("training"),
    )


@paper.entry
def claim_ten_large() -> LedgerEntry:
    """At uniform predictions the largest eigenvalues come in groups of K - 1, not of K."""
    law = readout.uniform_spectrum()
    entry = paper.claim(
        "claim-ten-large",
        "classifiers have as many large eigenvalues as there are classes",
        paper.needs("training"),
    )
    return replace(entry, derived=replace(law.equation(), name=entry.name))


@paper.entry
def claim_normalization_causes() -> LedgerEntry:
    return paper.claim(
        "claim-normalization-causes",
        "it is the normalization of the features that lowers lambda_1 / lambda_10",
        paper.needs("parts"),
    )


@paper.entry
def claim_lambda_max_explains() -> LedgerEntry:
    return paper.claim(
        "claim-lambda-max-explains",
        "the smaller largest eigenvalue may explain the faster convergence",
        paper.needs("parts"),
    )


@paper.entry
def claim_last_layer_representative() -> LedgerEntry:
    return paper.claim(
        "claim-last-layer-representative",
        "the last layer's Hessian shows the effect of batch normalization on the whole network",
        paper.needs("full_hessian"),
    )


@paper.entry
def claim_block_diagonal() -> LedgerEntry:
    return paper.claim(
        "claim-block-diagonal",
        "the Hessian may be taken as block diagonal in the layers",
        paper.needs("full_hessian"),
    )


@paper.entry
def claim_flat_first_layer() -> LedgerEntry:
    return paper.claim(
        "claim-flat-first-layer",
        "the Hessian goes from flat in the first layer to steep in the last",
        paper.needs("full_hessian"),
    )
