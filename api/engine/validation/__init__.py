"""Validates documents: a fast validator recognises usual valid ones; graphql-core decides about all others.

fast_validator.py passes over a document once, which takes a twentieth of the time of graphql-core's rules. To
it a document is valid or undecided, never invalid. Its helpers are schema_index.py, arguments.py,
field_merging.py and undecided.py. The one seam is the call in validator.py: to delete the fast validator,
remove that call and these files.
"""
