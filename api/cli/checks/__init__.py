"""What can be wrong around Tandem, one file for each place to look at. A finding is a sentence."""
