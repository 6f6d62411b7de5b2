"""A web service and a worker: what a request starts, a worker finishes later, in the same tree.

The service (``web.py``) is any WSGI application behind `GoalMiddleware`; the worker (``worker.py``) takes jobs from a folder, as others take
them from Redis or RabbitMQ. A job carries one string, the goal's id: that is all that ties them together.
"""
