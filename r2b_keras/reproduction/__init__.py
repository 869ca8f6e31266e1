"""Reproduction: what the README claims, run again and compared with `results/`."""
