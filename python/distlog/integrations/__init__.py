"""Goals that travel with other libraries' requests, tasks and processes: one module per library, imported by whoever uses it.

This package itself imports nothing. See ``docs/integrations.md``.
"""
