"""Assertions: what a suite expects of a response, compiled once and evaluated on many.

`compiler` turns a suite's checks into functions; `subjects` finds what is looked at; `operators` compare; `difference`
says how two JSON values differ. Import the module you need.
"""
