"""Query cost analysis: what fields cost, and what an operation adds up to."""
