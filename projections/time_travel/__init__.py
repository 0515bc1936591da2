"""The read models as they were at a position, queried with the same SQL as the present ones."""
