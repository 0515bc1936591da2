"""The server around the routes: access, input, status, metrics, the page, the stream."""
