"""Operations compiled: what a document asks for, made once into Python, and then only called.

graphql-core finds out anew for every request which fields were asked for, of which type each is and how it is
resolved; that is most of what a read costs. A plan holds the outcome: the resolvers to call, and functions
that put the answer together. It covers what goes well. Whatever does not, graphql-core tells, out of what the
resolvers have answered already, so that every error is its own and nothing is asked or carried out twice.

    plans.py      finds the plan of a request     compile.py  makes one, out of these:
    variables.py  coerces what comes with it      source.py   functions, as Python text
    plan.py       carries it out                  resolve.py  calls of resolvers
    replay.py     when something is wrong         values.py   their arguments
                                                  inputs.py   input objects among these
                                                  leaves.py   scalars and enums
"""
