"""Operations on resources: the general ones, and what single kinds do differently.

`generic.py` has create, update, delete and so on for any kind; `strategy.py` has the table of differences; the other files hold what
those differences do. Reads are in `reads.py`, watches in `watches.py`, both straight from the cache.
"""
