"""The composition root: builds, starts, supervises and stops everything else.

Lives here: `Cluster(config)`, the data directory, certificates, the daemon, the real nodes' namespaces and engines.
May not: hold behaviour of Kubernetes (that belongs to the parts it puts together).
"""
