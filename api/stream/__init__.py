"""The live event stream: one tail reads the event store, encodes each event once, and hands it to
every client.
"""
