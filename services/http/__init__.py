"""The HTTP API, version 1: one module for each group of routes, and what they share.

`app` puts routes, errors and limits together; `shown` turns the corpus's words into what goes over the wire;
`problems` turns errors into problem+json. A route authenticates, calls one method and returns what is shown of it.
"""
