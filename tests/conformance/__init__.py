"""Clients, recordings and bad input against whole servers."""
