"""Tests with programs of others on the way to the service, or as its clients: proxies, curl, Java, Node."""
