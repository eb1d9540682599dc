"""Photographs, recordings and spoken words: fetched, cleaned, checked, in one folder layout."""
