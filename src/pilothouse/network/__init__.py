"""Pod network, services, DNS, load balancer addresses.

Lives here: the pure tables of rules and names, and the thin shells that hand them to nftables, netlink and sockets.
May not: know of containers; leave anything behind on the host.
"""
