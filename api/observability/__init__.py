"""For the person on call: how the pipeline is doing, whether this process can do its work, and figures."""
