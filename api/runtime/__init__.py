"""The process: composition, start, background loops, connections and shutdown."""
