"""The live stream: one tail reads the book, encodes each event once, and hands it to everybody."""
