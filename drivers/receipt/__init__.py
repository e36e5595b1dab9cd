"""Receipts: one structured document, laid out by a template, rendered for printer, screen, mail and file."""
