"""The HTTP face: parse a request, call one use case, present its answer."""
