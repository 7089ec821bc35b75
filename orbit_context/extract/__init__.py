"""What is read out of a response.

`view` is the response as extractors and assertions see it; `capture` takes named values from it; `jsonpath`, `regex` and
`xpath` compile the expressions; `evaluator` is the port to where expressions run that could take long; `evaluation` runs
them. Import the module you need: nothing heavy is loaded from here.
"""
