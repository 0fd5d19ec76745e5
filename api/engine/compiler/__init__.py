"""The plan compiler: compiles operations that are requested repeatedly into Python functions.

graphql-core determines for every request which fields are selected, of which type each is and how it is
resolved; that is most of the cost of a read. A plan holds the result: the resolvers to call, and functions
that build the response. It covers the regular case. In any other case graphql-core runs the operation on the
outcomes of the resolvers already called, so every error is its own and no resolver is called twice.

    plan_cache.py   finds the plan of a request    compiler.py         makes one, with:
    variables.py    coerces its variables          codegen.py          functions as Python text
    plan.py         runs it                        resolver_calls.py   calls of resolvers, input objects
    fallback.py     when it met an error           field_arguments.py  their arguments
                                                   leaf_types.py       scalars and enums

The one seam is Engine in execution/engine.py, which finds and runs plans; documents/document_cache.py stores
the PlanSource of each operation for it. To delete the compiler, let Engine always run graphql-core, remove
the PlanSource, and delete this folder and tests/api/engine/test_plan*.py.
"""
