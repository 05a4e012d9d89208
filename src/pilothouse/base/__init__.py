"""Clock and seeded randomness: what every other package stands on.

Lives here: the only code that may ask the operating system for time or randomness; virtual time and its event loop.
May not: know anything of Kubernetes, or import any other package of ours.
"""
