"""Generated demo data for `tandem seed`."""
