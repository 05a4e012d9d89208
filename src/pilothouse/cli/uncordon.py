"""`pilothouse uncordon`"""

from .nodes import marking

command = marking("uncordon", False, "Mark a node as schedulable.")
