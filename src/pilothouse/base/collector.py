"""Python's collector of cyclic garbage, told what kind of program this is: one with many objects that stay, and few cycles."""

import gc

YOUNG_MAX = (
    20_000  # new containers before the youngest are looked through (Python: 700, several times a request)
)


def settle() -> None:
    """Once everything is up: what was made at start stays, and need not be looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 10, 10)
