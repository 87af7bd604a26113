"""The workbook as a reader's browser has it: a real JupyterLab, and the exported
pages.
"""
