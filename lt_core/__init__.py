"""Long-tailed image classification: losses, data, runs and tables.

Importing this package downloads nothing, seeds nothing and touches no file.
"""

__version__ = "0.1.0"
