"""Reading of what upstreams really send: codings, JSON, events, base64, in every form that can be read."""
