"""Charges, budgets and their accounts in an SQL database."""
