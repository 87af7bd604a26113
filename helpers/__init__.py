"""Plumbing for the DistilBERT workbook; its notebooks hold what they teach.

Importing it is fast: torch and transformers are imported where they are used first.
"""
