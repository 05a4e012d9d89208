"""Knowledge of the Kubernetes API: kinds, schema, defaults, validation, patches, selectors, tables.

Lives here: pure functions from values to values; most behaviour that people call "Kubernetes".
May not: do I/O, ask for time, use asyncio, or import anything but base/.
"""
