"""Query cost analysis: the costs of fields, and the cost of an operation before it is executed."""
