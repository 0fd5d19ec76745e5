"""The verbs that steer a running Tandem, one file each: it parses, shows, and sets the exit status."""
