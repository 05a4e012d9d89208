"""What people type: clusters (`up`, `stop`, `list`, …) and kubectl's own verbs, flags and output.

Lives here: one file a command, and the table of them in `main.py`.
May not: reach into a cluster but through its HTTP API and `cluster/`.
"""
