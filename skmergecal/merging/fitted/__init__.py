"""Fitted merges: members with what was learned about them, one file for each method."""
