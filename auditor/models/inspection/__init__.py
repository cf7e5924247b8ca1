"""What a model file says of itself: its parts, inputs and outputs, read without running anything.

Nothing here imports torch, unpickles an object or follows a path found in a file.
"""
