"""The actors that make the cluster's state follow its objects: one file a controller.

Lives here: pure `reconcile(key, view, now) -> Plan` functions, and the one shell (`runtime.py`) that runs them.
May not: do I/O but through client/, or depend on the event that woke it (level-based).
"""
