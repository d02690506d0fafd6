"""What is below ``/clusters/``: which context a request is for, and the list of all.

It knows the contexts and how a request finds its place. It must not know how requests are carried,
nor how contexts are made and followed.
"""
