"""Tandem beside its peers: the same questions to each in turn, over the same read model."""
