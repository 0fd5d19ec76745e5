"""The write side: commands decide, the store writes rows and events, the relay carries events out."""
