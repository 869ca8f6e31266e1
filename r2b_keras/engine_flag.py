"""The flag --engine, of the commands that run one converted network."""

from __future__ import annotations

from absl import flags


def define() -> None:
    """Declares it."""
    flags.DEFINE_string(
        "engine",
        None,
        "What runs a converted network: r2b_runtime, lce, lce_indirect, "
        "lce_indirect_xnnpack, lce_reference or litert; the first that can if unset.",
    )
