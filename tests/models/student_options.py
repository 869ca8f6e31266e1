"""What papers since have added to the block, all of it at once."""

TODAY = {
    "prelu_shifts": True,
    "thresholds": "mean",
    "activation_binarizer": "approx_sign",
    "activation_clip": 1.5,
    "weight_standardization": "standardize",
    "weight_quantile": 0.9,
}
