"""The write side: commands decide, the store writes rows and events, the relay publishes the events."""
