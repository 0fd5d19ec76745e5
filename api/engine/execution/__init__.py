"""From a request to its response, whichever way it came: let in, executed in a room, told of."""
