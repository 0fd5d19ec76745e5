"""Tests that carry out what pages of the documentation say."""
