"""Administration of one partition: status, maintenance, parked aggregates, retained generations."""
