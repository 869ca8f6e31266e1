"""Ablations: the rows of Table 3 on any recipe, over several seeds, compared."""
