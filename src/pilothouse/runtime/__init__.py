"""Container engines behind one interface in the shape of CRI: containerd, and a simulated one.

Lives here: `Engine` and its implementations; the wire form of CRI.
May not: know of pods as API objects (node/ translates); be used by anyone but node/ and cluster/.
"""
