"""The checks of `tandem doctor`: each returns findings, which are ok or say what to do."""
