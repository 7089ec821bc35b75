"""Executors: one attempt of a test, from its definition to its outcome. They know no gateway.

`compile` makes a test ready once, `http` runs it as often as it is asked, `exchange` tells what was sent and answered.
Import the module you need: nothing is loaded from here.
"""
