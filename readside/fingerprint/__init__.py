"""The fingerprint of the read models: a hash of the code that decides what they store."""
