"""Executes one GraphQL operation; knows no HTTP, no aggregates and no stores."""
