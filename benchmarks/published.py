"""Published accuracies of 5-way miniImageNet with four-layer networks, in %, and their source."""

# LibFewShot's table (Li et al., TPAMI 2023) unless another source is named. Its network is ours in shape for DN4 and
# CovaMNet. For the others it has ReLU and, where that is said, four poolings: maps of 5 x 5, or vectors of 1,600.
MINI = "miniimagenet"  # the folder of the data that they are of
PUBLISHED = {
    "protonet-conv64f": "47.05 / 68.56 (vectors of 1,600)",
    "relation-conv64f": "51.52 / 66.76 (its overview)",
    "dn4-conv64f": "54.47 / 72.15",
    "adm-conv64f": "54.26 / 72.54 (its paper)",
    "baseline++-conv64f": "48.86 / 63.29 (vectors of 1,600)",
    "logistic-conv64f": "47.97 / 65.88 (RFS-simple, vectors of 1,600)",
    "covamnet-conv64f": "51.59 / 67.65",
    "renet-conv64f": "57.62 / 74.14 (maps of 5 x 5)",
    "matching-context-conv64f": "43.56 / 55.31 (few-shot leaderboard)",
    "feat-conv64f": "55.15 / 71.61 (its paper)",
}
