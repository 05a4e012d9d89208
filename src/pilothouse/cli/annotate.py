"""`pilothouse annotate`"""

from .label import metadata_command

command = metadata_command("annotate", "annotations", "annotated")
