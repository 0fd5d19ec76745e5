"""The read models: each file holds the shape, the projection and the queries of one."""
