"""Who may come in: tokens and scopes, origins, rates, and what every answer says to browsers."""
