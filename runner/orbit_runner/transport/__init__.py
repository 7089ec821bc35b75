"""HTTP for tests: the port (`port`), two transports (`curl`, `httpx`), and the session on top (`session`).

Import the module you need; nothing heavy is loaded from here.
"""
