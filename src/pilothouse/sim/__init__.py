"""Clusters on virtual time: seeds, faults, histories.

Lives here: what makes a run replayable and comparable.
May not: be needed by anything that runs a real cluster.
"""
