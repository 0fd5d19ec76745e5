"""From a request to a document that is parsed, valid and priced, found again by its text or by its shape."""
