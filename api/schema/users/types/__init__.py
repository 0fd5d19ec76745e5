"""The GraphQL types of users and their orders."""
