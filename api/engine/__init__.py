"""Executes one GraphQL operation; knows no HTTP, no users and no stores."""
