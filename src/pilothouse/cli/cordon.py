"""`pilothouse cordon`"""

from .nodes import marking

command = marking("cordon", True, "Mark a node as unschedulable.")
