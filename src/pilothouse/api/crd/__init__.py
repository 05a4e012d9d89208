"""Custom resources: what a CustomResourceDefinition may say, and what its schema does to the objects of its kind.

schema.py      a structural schema as a tree of nodes; what else is drawn from it
shaping.py     an object that came in, into the shape of the schema: defaults, pruning, metadata
values.py      is the object as the schema says: types, bounds, formats, junctors
formats.py     the formats of strings
definition.py  a CustomResourceDefinition: defaults, and what is wrong with it
rules.py       what is wrong with a schema: structural or not, list types, defaults, CEL rules
kinds.py       a served version of a definition as a row of the table of kinds
names.py       which names a definition is given, and its conditions
cel.py         x-kubernetes-validations: types for CEL, compiled rules, their evaluation
"""
