"""The second aggregate of these tests, in the same parts as one of a service: the machinery carries any.

No process has it that does not call `tests.products.install.install`.
"""
