"""Plumbing for the DistilBERT workbook; what the notebooks teach stands in the
notebooks.

Importing this package is fast: torch and transformers are imported where they are used
first.
"""

__version__ = "0.1.0"
