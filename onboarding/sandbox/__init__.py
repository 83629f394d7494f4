"""A stand-in for the upstream trading platform, because no machine of ours can reach the real one.

Nothing in this package imports the rest of the project (nor Django): a stand-in that shared our parser or our
constants would share our mistakes. Standard library and `cryptography` only.
"""
