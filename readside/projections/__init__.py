"""The read models: one file each, which holds its shape, its projection and its queries."""
