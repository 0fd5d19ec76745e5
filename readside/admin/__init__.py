"""Administration of one partition: status, maintenance, parked users, retained generations."""
